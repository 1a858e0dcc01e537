// The tabs, and the models that each of them offers.

import { ask, trying } from "/page/api.js";
import { setUpClassify } from "/page/classify.js";
import { setUpInside } from "/page/inside.js";
import { setUpTag } from "/page/tag.js";
import { setUpTrain } from "/page/train.js";
import { setUpTranslate } from "/page/translate.js";
import { setUpWrite } from "/page/write.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const offers = [setUpWrite(), setUpTranslate(), setUpClassify(), setUpTag(), setUpInside()];

/** Offer the models that there are now: a training may have added one. */
async function refresh() {
  const models = await ask("/models");
  for (const offerModels of offers) offerModels((task) => models.filter((model) => model.task === task));
}

function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  trying(refresh, { again: true });
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
else trying(refresh);
setUpTrain();
