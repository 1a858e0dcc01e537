// Translate: as one types, sentence by sentence, with the attention between the words.

import { ask, element, offer, trying, walkable } from "/page/api.js";

const PAUSE = 300; // milliseconds after the last key
const CANDIDATES = 4;

/** Groups of tokens that make a word: a word begins with a space. */
function words(tokens) {
  const groups = [];
  tokens.forEach((token, n) => {
    if (token === "" || token === "</s>") return;
    if (!groups.length || /^\s/.test(token)) groups.push({ text: "", tokens: [] });
    const group = groups[groups.length - 1];
    group.text += token;
    group.tokens.push(n);
  });
  return groups;
}

/** Attention from word to word: mean over the tokens of the target, sum over those of the source. */
function betweenWords(weights, targets, sources) {
  return targets.map((target) => sources.map((source) => {
    let sum = 0;
    for (const t of target.tokens) for (const s of source.tokens) sum += weights[t][s];
    return sum / target.tokens.length;
  }));
}

function sentences(text, language) {
  return [...new Intl.Segmenter(language, { granularity: "sentence" }).segment(text)].map((part) => part.segment);
}

export function setUpTranslate(models) {
  const direction = document.getElementById("direction"), source = document.getElementById("source");
  const place = document.getElementById("translation"), panel = document.getElementById("attention");
  const known = new Map(); // answers by model and sentence
  let timer, abort, shown = [];
  offer(direction, models.map((model) => model.name), models.map((model) => `${model.source} to ${model.target} (${model.name})`));

  const model = () => models.find((one) => one.name === direction.value);

  async function answer(sentence, signal) {
    const key = `${direction.value}\n${sentence}`;
    if (!known.has(key)) {
      const asked = { model: direction.value, text: sentence.trim(), alternatives: CANDIDATES };
      known.set(key, await ask("/attention", asked, signal));
      if (known.size > 500) known.delete(known.keys().next().value);
    }
    return known.get(key);
  }

  async function translate() {
    abort?.abort();
    abort = new AbortController();
    const { signal } = abort;
    const parts = sentences(source.value, model()?.source).filter((part) => part.length);
    const answers = await Promise.all(parts.map((part) => (part.trim() ? answer(part, signal) : null)));
    shown = [];
    place.replaceChildren();
    parts.forEach((part, n) => {
      if (!answers[n]) { place.append(part); return; }
      const best = answers[n].candidates[0], groups = words(best.tokens);
      const sentence = element("span", best.doubtful ? { class: "doubtful", title: "doubtful" } : {});
      groups.forEach((group, w) => {
        sentence.append(element("span", { class: "word", "data-n": shown.length }, group.text.trim()), " ");
        shown.push({ answer: answers[n], word: w });
      });
      place.append(sentence, part.match(/\n*$/)[0]);
    });
    panel.hidden = true;
  }

  /** The picture of a sentence's attention, with a word of the translation in view. */
  function picture({ answer: { source: tokens, candidates }, word }) {
    const [best, ...others] = candidates;
    panel.hidden = false;
    document.getElementById("candidates").replaceChildren(...others.map((other) => element("li", {}, other.text)));
    const matrix = document.getElementById("matrix");
    if (!best.attention) { matrix.textContent = "This model has no attention."; return; }
    const targets = words(best.tokens), from = words(tokens), weights = betweenWords(best.attention, targets, from);
    const head = element("tr", {}, element("td"), ...from.map((group) => element("th", { scope: "col" }, group.text)));
    const rows = targets.map((group, t) => {
      const row = element("tr", {}, element("th", { scope: "row" }, t === word ? element("strong", {}, group.text) : group.text));
      weights[t].forEach((weight, s) => {
        const cell = element("td", { title: `${group.text} → ${from[s].text}: ${(100 * weight).toFixed(0)} %` });
        cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(100 * Math.min(1, weight))}%, transparent)`;
        cell.onpointerenter = () => { caption(`${group.text.trim()} looked at ${from[s].text.trim()}: ${(100 * weight).toFixed(0)} %`); };
        row.append(cell);
      });
      return row;
    });
    matrix.replaceChildren(element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...rows)));
    const most = weights[word].indexOf(Math.max(...weights[word]));
    caption(`${targets[word].text.trim()} looked most at ${from[most].text.trim()} (${(100 * weights[word][most]).toFixed(0)} %)`);
    const back = weights.map((row) => row[most]), reader = back.indexOf(Math.max(...back));
    place.querySelectorAll(".seen").forEach((old) => old.classList.remove("seen"));
    const first = shown.findIndex((one) => one.answer.candidates === candidates);
    place.querySelectorAll(".word")[first + reader]?.classList.add("seen");
  }

  function caption(text) { document.getElementById("attention-caption").textContent = text; }

  walkable(place, { show: (child) => { if (child) picture(shown[Number(child.dataset.n)]); } });
  const later = () => { clearTimeout(timer); timer = setTimeout(() => trying(translate), PAUSE); };
  source.oninput = later;
  direction.onchange = later;
  document.getElementById("swap").onclick = () => {
    const now = model(), back = now && models.find((one) => one.source === now.target && one.target === now.source);
    if (!back) return;
    direction.value = back.name;
    source.value = place.textContent.trim();
    later();
  };
}
