// The tabs, and the models that each of them offers.

import { ask, trying } from "/page/api.js";
import { setUpClassify } from "/page/classify.js";
import { setUpInside } from "/page/inside.js";
import { setUpTag } from "/page/tag.js";
import { setUpTrain } from "/page/train.js";
import { setUpTranslate } from "/page/translate.js";
import { setUpWrite } from "/page/write.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
}

document.getElementById("tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) select(tab);
});
document.getElementById("tabs").addEventListener("keydown", (event) => {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  const next = tabs[(to + tabs.length) % tabs.length];
  event.preventDefault();
  next.focus();
  select(next);
});

const asked = tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash);
if (asked) select(asked);

trying(async () => {
  const models = await ask("/models");
  const of = (task) => models.filter((model) => model.task === task);
  setUpWrite(of("language-model"));
  setUpTranslate(of("translation"));
  setUpClassify(of("classification"), of("language-model"));
  setUpTag(of("tagging"));
  setUpInside(of("language-model"));
  setUpTrain();
});
