// Train: runs with live curves, samples and cards; a training of one's own text, stopped and resumed.

import { Refused, ask, element, offer, trying, working } from "/page/api.js";

const EVERY = 2000; // milliseconds between two looks at a run
const WIDTH = 320, HEIGHT = 160, LEFT = 44, BOTTOM = 18;
const CURVES = [ // title, line, points
  ["Loss (line: training, points: validation)", "loss", "validation_loss"], ["Learning rate", "learning_rate"],
  ["Gradient norm", "gradient_norm"],
];

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A figure of one or two quantities over the steps; null if the log has neither. */
function curve(points, [title, line, dots]) {
  const of = (name) => (name ? points.filter((point) => name in point).map((point) => [point.step, point[name]]) : []);
  const drawn = of(line), marked = of(dots), all = [...drawn, ...marked];
  if (!all.length) return null;
  const steps = all.map(([step]) => step), values = all.map(([, value]) => value);
  const first = Math.min(...steps), last = Math.max(...steps), low = Math.min(...values), high = Math.max(...values);
  const x = (step) => LEFT + (WIDTH - LEFT - 6) * (step - first) / Math.max(1, last - first);
  const y = (value) => 8 + (HEIGHT - BOTTOM - 12) * (1 - (value - low) / Math.max(1e-12, high - low));
  const newest = (drawn.length ? drawn : marked).at(-1)[1];
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img",
    "aria-label": `${title}: now ${newest.toPrecision(3)}, from ${low.toPrecision(3)} to ${high.toPrecision(3)}, until step ${last}` },
  svg("polyline", { points: drawn.map(([step, value]) => `${x(step)},${y(value)}`).join(" ") }),
  ...marked.map(([step, value]) => svg("circle", { cx: x(step), cy: y(value), r: 2.5 })),
  svg("text", { x: 2, y: 14 }, high.toPrecision(3)), svg("text", { x: 2, y: HEIGHT - BOTTOM }, low.toPrecision(3)),
  svg("text", { x: LEFT, y: HEIGHT - 4 }, `step ${first}`), svg("text", { x: WIDTH - 64, y: HEIGHT - 4 }, `step ${last}`));
  return element("figure", {}, element("figcaption", {}, title), picture);
}

/** The text of a file; of one in another encoding every letter with an accent would be lost. */
function decoded(name, bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Refused(`${name}: expected a text in UTF-8, got another encoding; save it as UTF-8 and choose it again.`);
  }
}

export function setUpTrain() {
  const byId = (id) => document.getElementById(id);
  const run = byId("run"), stop = byId("run-stop"), resume = byId("run-resume"), form = byId("train-form");
  let readOnly = true;

  async function list(chosen = run.value) {
    const { names, read_only } = await ask("/runs");
    readOnly = read_only;
    form.hidden = readOnly;
    byId("read-only").hidden = !readOnly;
    const shown = chosen && !names.includes(chosen) ? [...names, chosen] : names;
    if (shown.join("\n") !== [...run.options].map((option) => option.value).join("\n")) offer(run, shown);
    if (chosen) run.value = chosen;
  }

  async function show() {
    if (!run.value) return;
    const { training, said, points, card } = await ask(`/runs/${encodeURIComponent(run.value)}`);
    stop.disabled = !training;
    resume.disabled = training || readOnly;
    byId("run-state").textContent = training ? "It is being trained." : "";
    byId("said-heading").hidden = byId("said").hidden = !said;
    byId("said").textContent = said;
    byId("curves").replaceChildren(...CURVES.map((what) => curve(points, what)).filter(Boolean));
    byId("card-details").hidden = !card;
    byId("card").textContent = card;
  }

  const refresh = (chosen) => trying(async () => { await list(chosen); await show(); });
  const change = (what) => trying(async () => {
    await ask(`/runs/${encodeURIComponent(run.value)}/${what}`, {});
    await refresh();
  });
  run.onchange = () => refresh();
  stop.onclick = () => change("stop");
  resume.onclick = () => change("resume");
  byId("train-file").onchange = async ({ target: { files: [file] } }) => {
    if (!file) return;
    await trying(async () => {
      byId("train-text").value = decoded(file.name, await file.arrayBuffer());
      if (!byId("train-name").value) byId("train-name").value = file.name.replace(/\.\w+$/, "").replace(/[^\w-]/g, "-").replace(/^[-_]+/, "").slice(0, 50);
    });
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    const name = byId("train-name").value;
    working(async () => {
      await ask("/runs", { name, text: byId("train-text").value, max_minutes: Number(byId("train-minutes").value),
        cell: byId("train-cell").value, hidden_size: Number(byId("train-hidden").value),
        num_layers: Number(byId("train-layers").value) });
      await refresh(name);
    });
  };
  document.getElementById("tab-train").addEventListener("click", () => refresh());
  setInterval(() => { if (!byId("train").hidden && !document.hidden && run.value) trying(show, { again: true }); }, EVERY);
  if (!byId("train").hidden) refresh();
}
