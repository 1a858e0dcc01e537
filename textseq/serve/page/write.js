// Write: text that streams in, colored by surprisal; what else could have come; two settings side by side.

import { Refused, ask, element, events, offer, trying, walkable, working } from "/page/api.js";
import { legend, surprisalColor } from "/page/colors.js";

const ALTERNATIVES = 10;
const SETTINGS = [ // field, label, attributes
  ["temperature", "Temperature", { min: 0, max: 3, step: 0.05, value: 0.9 }],
  ["top_p", "Top-p", { min: 0.01, max: 1, step: 0.01, value: 1 }],
  ["min_p", "Min-p", { min: 0, max: 1, step: 0.01, value: 0.1 }],
  ["max_tokens", "Length in tokens", { min: 1, max: 4096, step: 1, value: 400 }],
  ["seed", "Seed", { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, placeholder: "a new one" }],
];

function named(token) {
  return { "\n": "line end", " ": "space" }[token] ?? token;
}

class Pane {
  /** `changed` is called when the pane begins and ends to write. */
  constructor(number, changed) {
    this.changed = changed;
    this.models = [];
    this.author = element("select", {});
    this.fields = Object.fromEntries(SETTINGS.map(([name, , attributes]) =>
      [name, element("input", { type: "number", ...attributes })]));
    this.other = element("select", {});
    this.share = element("input", { type: "range", min: 0, max: 100, step: 5, value: 50 });
    this.blend = element("div", { class: "settings" }, element("label", {}, "Blend with", this.other),
      element("label", {}, "Share of this other author", this.share));
    this.author.onchange = () => { this.other.value = ""; this.offerBlend(); };
    this.status = element("p", { class: "status", role: "status" });
    this.output = element("div", { class: "text", role: "textbox", "aria-readonly": "true", "aria-multiline": "true",
      id: `text-${number}`, "aria-label": `Text ${number}` });
    this.copied = element("button", {}, "Underline what is copied");
    this.copied.onclick = () => working((signal) => this.underline(signal));
    const settings = element("div", { class: "settings" }, element("label", {}, "Author", this.author),
      ...SETTINGS.map(([name, label]) => element("label", {}, label, this.fields[name])));
    this.root = element("div", {}, settings, this.blend, this.output, this.status, this.copied);
    this.tokens = [];
    walkable(this.output, { use: (child) => this.offerChoices(child), show: (child) => this.describe(child) });
  }

  offerAuthors(models) {
    this.models = models;
    offer(this.author, models.map((model) => model.name), models.map((model) => `${model.name} (${model.title})`));
    this.offerBlend();
  }

  /** Authors of one model can be blended. */
  offerBlend() {
    const name = this.author.value, { labels = [] } = this.models.find((model) => model.name === name) ?? {};
    const others = labels.includes(name) ? labels.filter((label) => label !== name) : [];
    offer(this.other, ["", ...others], ["nobody", ...others]);
    this.blend.hidden = others.length === 0;
  }

  get running() { return this.abort !== undefined; }

  /** Write after a prompt, in place of a text that is being written; `kept` are tokens of an earlier text that stay. */
  async write(prompt, kept = []) {
    const { max, validity, value } = this.fields.seed; // a larger one would be rounded
    if (validity.rangeOverflow) throw new Refused(`Seed: expected at most ${max}, got ${value}; choose a smaller one.`);
    this.stop();
    const abort = new AbortController(), begun = performance.now();
    this.abort = abort;
    this.changed();
    this.tokens = [];
    this.output.replaceChildren();
    for (const token of kept.length ? kept : [{ text: prompt, prompt: true }]) this.add(token);
    const body = { model: this.author.value, prompt, stream: true, logprobs: ALTERNATIVES };
    for (const [name, field] of Object.entries(this.fields)) if (field.value !== "") body[name] = Number(field.value);
    const share = Number(this.share.value);
    if (this.other.value) body.condition = `${this.author.value}=${(100 - share) / 100},${this.other.value}=${share / 100}`;
    this.status.ariaLive = "off"; // read out at the end only
    this.status.textContent = "Writing…";
    let nats = 0, count = 0, from = 0, said = "";
    try {
      for await (const { choices: [choice] } of events("/v1/completions", body, abort.signal)) {
        if (this.abort !== abort) return;
        const { tokens, token_logprobs: logs, top_logprobs: tops, top_texts: texts, text_offset: offsets } = choice.logprobs;
        const text = [...choice.text]; // offsets count code points
        // A token's text runs to the next token; tokens that spell one character together begin at one place.
        tokens.forEach((_, n) => {
          const end = n + 1 < tokens.length ? offsets[n + 1] : from + text.length;
          this.add({ text: text.slice(offsets[n] - from, end - from).join(""), nats: -logs[n], top: tops[n], texts: texts[n] });
          nats -= logs[n];
          count += 1;
        });
        from += text.length;
        const rate = count / ((performance.now() - begun) / 1000);
        said = `${count} tokens, ${rate.toFixed(0)} per second, mean surprisal ${(nats / Math.max(1, count)).toFixed(2)} nats`;
        this.status.textContent = said;
      }
    } finally {
      if (this.abort === abort) {
        this.abort = undefined;
        this.status.ariaLive = "polite";
        this.status.textContent = said;
        this.changed();
      }
    }
  }

  stop() { this.abort?.abort(); }

  /** Say what a token is worth, if no text is being written. */
  describe({ dataset: { n } }) {
    const { text, nats } = this.tokens[n];
    if (!this.running) this.status.textContent = `${named(text)}: ${nats.toFixed(2)} nats, p = ${Math.exp(-nats).toPrecision(2)}`;
  }

  get text() { return this.tokens.map((token) => token.text).join(""); }

  add(token) {
    const span = element("span", { "data-n": token.prompt ? undefined : this.tokens.length }, token.text);
    if (token.nats !== undefined) {
      span.className = token.text === "\n" ? "colored newline" : "colored"; // the end of a line has no width of its own
      span.style.background = surprisalColor(token.nats);
    }
    this.tokens.push(token);
    this.output.append(span);
  }

  /** Show what else could have come at a token, to write on from there. */
  offerChoices(span) {
    const at = Number(span.dataset.n), { top, texts } = this.tokens[at], popup = document.getElementById("choices");
    const list = element("ul", { class: "choices" });
    for (const [token, log] of Object.entries(top).sort((a, b) => b[1] - a[1])) {
      const text = token in texts ? texts[token] : token; // null: a part of a character, after which none can be put
      const button = element("button", { ".disabled": text === null }, element("code", {}, named(token)), `${(100 * Math.exp(log)).toFixed(1)} %`);
      button.onclick = () => {
        popup.hidden = true;
        this.output.focus();
        const kept = [...this.tokens.slice(0, at), { text, nats: -log, top, texts }];
        trying(() => this.write(kept.map((one) => one.text).join(""), kept));
      };
      list.append(element("li", {}, button));
    }
    popup.replaceChildren(list);
    popup.hidden = false;
    const { left, bottom } = span.getBoundingClientRect();
    popup.style.left = `${Math.max(8, Math.min(left, innerWidth - popup.offsetWidth - 8)) + scrollX}px`;
    popup.style.top = `${bottom + scrollY + 4}px`;
    (popup.querySelector("button:enabled") ?? popup).focus();
    popup.onkeydown = (event) => {
      const buttons = [...popup.querySelectorAll("button:enabled")], here = buttons.indexOf(document.activeElement);
      if (event.key === "Escape") { popup.hidden = true; this.output.focus(); }
      const to = { ArrowDown: here + 1, ArrowUp: here - 1 }[event.key];
      if (to !== undefined) { buttons[(to + buttons.length) % buttons.length].focus(); event.preventDefault(); }
    };
  }

  /** Underline passages that stand in the training text too. */
  async underline(signal) {
    this.status.textContent = "Reading the training text…";
    try {
      const { spans, source } = await ask("/memorization", { model: this.author.value, text: this.text }, signal);
      let place = 0; // in code points, as spans are
      [...this.output.children].forEach((child, n) => {
        const here = place;
        child.classList.toggle("copied", spans.some(([start, end]) => start <= here && here < end));
        place += [...this.tokens[n].text].length;
      });
      const characters = spans.reduce((sum, [start, end]) => sum + end - start, 0);
      this.status.textContent = `${characters} of ${place} characters are copied from ${source} in runs of 30 or more`;
    } catch (error) {
      this.status.textContent = "";
      throw error;
    }
  }
}

export function setUpWrite() {
  const place = document.getElementById("panes"), compare = document.getElementById("compare");
  const start = document.getElementById("write-start"), stop = document.getElementById("write-stop");
  const changed = () => {
    start.disabled = panes.some((pane) => pane.models.length === 0 || pane.running);
    stop.disabled = !panes.some((pane) => pane.running);
  };
  const panes = [1, 2].map((number) => new Pane(number, changed));
  place.append(...panes.map((pane) => pane.root));
  const show = () => { panes[1].root.hidden = !compare.checked; };
  compare.onchange = show;
  show();
  legend(document.getElementById("scale"));
  changed();
  start.onclick = () => {
    document.getElementById("choices").hidden = true;
    const prompt = document.getElementById("prompt").value, shown = panes.filter((pane) => !pane.root.hidden);
    trying(() => Promise.all(shown.map((pane) => pane.write(prompt))));
  };
  stop.onclick = () => panes.forEach((pane) => pane.stop());
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("#choices, .text")) document.getElementById("choices").hidden = true;
  });
  return (of) => {
    for (const pane of panes) pane.offerAuthors(of("language-model"));
    changed();
  };
}
