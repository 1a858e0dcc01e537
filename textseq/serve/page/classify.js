// Classify: the label with its probability, what each word contributed; and who wrote a text.

import { ask, element, offer, walkable, working } from "/page/api.js";
import { signedColor } from "/page/colors.js";

/** Rows of a name, a bar and a number. */
function bars(rows) {
  return element("div", { class: "bars" }, ...rows.flatMap(([name, share, number]) => [
    element("span", {}, name),
    element("meter", { min: 0, max: 1, value: share, "aria-label": name }),
    element("span", {}, number),
  ]));
}

export function setUpClassify() {
  const text = document.getElementById("classify-text"), place = document.getElementById("classified");
  const classifier = document.getElementById("classifier"), start = document.getElementById("classify-start");
  let authors = [];
  const caption = (words) => { document.getElementById("classified-word").textContent = words; };

  start.onclick = () => working(async (signal) => {
    caption("");
    const [result] = await ask("/classify", { model: classifier.value, texts: text.value, explain: true }, signal);
    const { words, label } = result.explanation, most = Math.max(...words.map((word) => Math.abs(word.nats)), 1e-9);
    const colored = words.map((word, n) => {
      const span = element("span", { "data-n": n }, word.text);
      span.style.background = signedColor(word.nats / most);
      return span;
    });
    const shown = element("p", { class: "text short", id: "explained", "aria-label": "The text, word by word" }, ...colored);
    walkable(shown, { show: ({ dataset: { n } }) => caption(`${words[n].text.trim()}: ${words[n].nats.toFixed(2)} nats`) });
    const all = Object.entries(result.probabilities).sort((a, b) => b[1] - a[1]);
    place.replaceChildren(
      element("h2", {}, `${result.label}, ${(100 * result.probability).toFixed(1)} %`),
      bars(all.map(([name, p]) => [name, p, `${(100 * p).toFixed(1)} %`])),
      shown,
      element("p", { class: "hint" }, `Blue words speak for ${label}, orange ones against it.`));
  });

  document.getElementById("who").onclick = () => working(async (signal) => {
    caption("");
    const scores = await Promise.all(authors.map(async ({ name }) => {
      const [score] = await ask("/score", { model: name, texts: text.value }, signal);
      return [name, score.bits_per_character];
    }));
    scores.sort((a, b) => a[1] - b[1]);
    const characters = Math.max(1, text.value.length), least = scores[0][1];
    const shares = scores.map(([, bits]) => 2 ** ((least - bits) * characters)), total = shares.reduce((a, b) => a + b, 0);
    place.replaceChildren(
      element("h2", {}, `Most like ${scores[0][0]}`),
      bars(scores.map(([name, bits], n) => [name, shares[n] / total, `${bits.toFixed(2)} bits per character`])),
      element("p", { class: "hint" }, "The bars are the probabilities of the authors, if all are equally likely before one has read the text."));
  });
  return (of) => {
    authors = of("language-model");
    document.getElementById("who").disabled = authors.length === 0;
    offer(classifier, of("classification").map((model) => model.name));
    start.disabled = classifier.disabled;
  };
}
