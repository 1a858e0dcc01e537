// Tag: a tag for each word, and the spans that the tags mark.

import { ask, element, offer, working } from "/page/api.js";

export function setUpTag() {
  const tagger = document.getElementById("tagger"), place = document.getElementById("tagged");
  const start = document.getElementById("tag-start");
  start.onclick = () => working(async (signal) => {
    const text = document.getElementById("tag-text").value;
    const [result] = await ask("/tag", { model: tagger.value, texts: text }, signal);
    if (!result.aligned) {
      place.replaceChildren(element("p", { class: "text" }, result.tags.join(" ")));
      return;
    }
    const items = result.words.map((word, n) => element("li",
      { title: `${(100 * result.probabilities[n]).toFixed(1)} %` }, word, element("small", {}, result.tags[n])));
    const spans = result.spans.map((span) => element("li", {}, span.text, element("small", {}, span.kind)));
    place.replaceChildren(element("ul", { class: "tags" }, ...items));
    if (spans.length) place.append(element("h2", {}, "Spans"), element("ul", { class: "tags" }, ...spans));
  });
  return (of) => {
    offer(tagger, of("tagging").map((model) => model.name));
    start.disabled = tagger.disabled;
    if (start.disabled) place.textContent = "No tagger is here yet. Train one: textseq-train treebank --download";
  };
}
