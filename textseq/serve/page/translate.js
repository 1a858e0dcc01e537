// Translate: as one types, sentence by sentence, with the attention between the words.

import { ask, element, offer, trying, walkable, working } from "/page/api.js";
import { signedColor } from "/page/colors.js";

const PAUSE = 300; // milliseconds after the last key
const CANDIDATES = 4;

/** Groups of tokens, given as texts, that make a word: a word begins with a space. */
function words(texts) {
  const groups = [];
  texts.forEach((text, n) => {
    if (!groups.length || (/^\s/.test(text) && groups.at(-1).text.trim())) groups.push({ text: "", tokens: [] });
    const group = groups.at(-1);
    group.text += text;
    group.tokens.push(n);
  });
  return groups;
}

/** The words of a translation. */
function wordsOf({ tokens, texts }) {
  return words(tokens.at(-1) === "</s>" ? texts.slice(0, -1) : texts);
}

/** Words, numbered from `first`, and the white space between them. */
function spans(groups, first = 0) {
  return groups.flatMap(({ text }, n) => [
    n ? text.match(/^\s*/)[0] : "", element("span", { class: "word", "data-n": first + n }, text.trim())]);
}

/** Attention from word to word: mean over the tokens of the target, sum over those of the source. */
function betweenWords(weights, targets, sources) {
  return targets.map((target) => sources.map((source) => {
    let sum = 0;
    for (const t of target.tokens) for (const s of source.tokens) sum += weights[t][s];
    return sum / target.tokens.length;
  }));
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;

export function setUpTranslate() {
  const byId = (id) => document.getElementById(id);
  const direction = byId("direction"), source = byId("source"), place = byId("translation"), ownText = byId("own-text");
  const known = new Map(); // answers by model and sentence
  let models = [], timer, abort, shown = [], current = {};

  const model = () => models.find((one) => one.name === direction.value);

  async function answer(sentence, signal) {
    const key = `${direction.value}\n${sentence}`;
    if (!known.has(key)) {
      const asked = { model: direction.value, text: sentence, alternatives: CANDIDATES };
      known.set(key, await ask("/attention", asked, signal));
      if (known.size > 500) known.delete(known.keys().next().value);
    }
    return known.get(key);
  }

  async function translate() {
    abort?.abort();
    abort = new AbortController();
    const { signal } = abort;
    const parts = await ask("/sentences", { text: source.value }, signal);
    const answers = await Promise.all(parts.map((part) => (part.translate ? answer(part.text, signal) : null)));
    shown = [];
    place.replaceChildren();
    parts.forEach(({ text }, n) => {
      if (!answers[n]) { place.append(text); return; }
      const best = answers[n].candidates[0];
      const sentence = element("span", best.doubtful ? { class: "doubtful", title: "doubtful" } : {});
      const groups = wordsOf(best);
      sentence.append(...spans(groups, shown.length));
      shown.push(...groups.map((_, word) => ({ sentence: text, answer: answers[n], word })));
      place.append(sentence);
    });
    byId("attention").hidden = true;
    current = {};
  }

  /** Show a translation of a sentence: its words, those of the sentence, and the attention between them. */
  function present({ sentence, answer: { source: tokens, candidates } }, candidate) {
    const from = words(tokens.slice(0, -1)), targets = wordsOf(candidate); // without </s>
    const weights = candidate.attention && betweenWords(candidate.attention, targets, from);
    current = { sentence, candidates, candidate, from, targets, weights };
    byId("attention").hidden = false;
    caption(`${candidate.log_p_per_token.toFixed(2)} nats per token${candidate.doubtful ? ", doubtful" : ""}${weights ? "" : "; this model has no attention"}`);
    byId("from-words").replaceChildren(...spans(from));
    byId("to-words").replaceChildren(...spans(targets));
    byId("candidates").replaceChildren(...candidates.map((other) => {
      const button = element("button", { "aria-pressed": other === candidate }, other.text);
      button.onclick = () => present({ sentence, answer: { source: tokens, candidates } }, other);
      return element("li", {}, button);
    }));
    byId("own").onsubmit = (event) => {
      event.preventDefault();
      working(async (signal) => {
        const given = await ask("/attention", { model: direction.value, text: sentence, target: ownText.value }, signal);
        present({ sentence, answer: { source: tokens, candidates } }, given.candidates[0]);
      });
    };
    byId("matrix").hidden = !weights;
    if (!weights) return;
    const head = element("tr", {}, element("td"), ...from.map((group) => element("th", { scope: "col" }, group.text)));
    const rows = targets.map((group, t) => element("tr", {}, element("th", { scope: "row" }, group.text), ...from.map((other, s) => {
      const said = `${group.text.trim()} looked at ${other.text.trim()}: ${percent(weights[t][s])}`;
      const cell = element("td", { title: said, "aria-label": said });
      cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(100 * Math.min(1, weights[t][s]))}%, transparent)`;
      cell.onpointerenter = () => caption(said);
      return cell;
    })));
    byId("matrix").replaceChildren(element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  /** Color the words that a word of the translation looked at, or that looked at a word of the sentence. */
  function look(word, { back = false } = {}) {
    const { weights, from, targets } = current;
    if (!weights) return;
    const row = back ? weights.map((shares) => shares[word]) : weights[word], others = back ? targets : from;
    const most = row.indexOf(Math.max(...row)), one = (back ? from : targets)[word].text.trim(), other = others[most].text.trim();
    const told = back ? `${other} looked most at ${one}` : `${one} looked most at ${other}`;
    caption(`${told} (${percent(row[most])})`);
    const color = (id, share) => byId(id).querySelectorAll(".word").forEach((span, n) => { span.style.background = signedColor(share(n)); });
    color(back ? "to-words" : "from-words", (n) => row[n]);
    color(back ? "from-words" : "to-words", (n) => Number(n === word));
  }

  function caption(text) { byId("attention-caption").textContent = text; }

  walkable(place, { show: ({ dataset: { n } }) => {
    const entry = shown[n], [best] = entry.answer.candidates;
    if (current.candidate !== best) present(entry, best);
    look(entry.word);
  } });
  walkable(byId("to-words"), { show: ({ dataset: { n } }) => look(Number(n)) });
  walkable(byId("from-words"), { show: ({ dataset: { n } }) => look(Number(n), { back: true }) });
  const later = () => { clearTimeout(timer); timer = setTimeout(() => trying(translate), PAUSE); };
  source.oninput = later;
  direction.onchange = later;
  byId("swap").onclick = () => {
    const now = model(), back = now && models.find((one) => one.source === now.target && one.target === now.source);
    if (!back) return;
    direction.value = back.name;
    source.value = place.textContent.trim();
    later();
  };
  return (of) => {
    models = of("translation");
    offer(direction, models.map((one) => one.name), models.map((one) => `${one.source} to ${one.target} (${one.name})`));
  };
}
