// Look inside: one unit over the characters of a text, and the units that follow something nameable.

import { ask, element, offer, walkable, working } from "/page/api.js";
import { signedColor } from "/page/colors.js";

const NAMES = { h: "hidden state h", c: "cell c", i: "input gate i", f: "forget gate f", o: "output gate o", g: "candidate g",
  r: "reset gate r", z: "update gate z", n: "candidate n" };

export function setUpInside() {
  const byId = (id) => document.getElementById(id);
  const model = byId("inside-model"), quantity = byId("quantity"), layer = byId("layer"), unit = byId("unit");
  offer(quantity, ["h"], [NAMES.h]);

  let view;
  async function look(signal, asked) {
    const body = { model: model.value, text: byId("inside-text").value, quantity: quantity.value, layer: Number(layer.value) };
    if (asked !== undefined) body.unit = asked;
    view = await ask("/inside", body, signal);
    offer(quantity, view.quantities, view.quantities.map((name) => NAMES[name] ?? name));
    quantity.value = body.quantity;
    layer.max = view.layers - 1;
    unit.max = view.units - 1;
    unit.value = view.unit;
    const most = Math.max(...view.values.map(Math.abs), 1e-9);
    byId("inside-about").textContent =
      `Unit ${view.unit} of ${view.units}, ${NAMES[body.quantity] ?? body.quantity}, from ${Math.min(...view.values).toFixed(2)} to ${Math.max(...view.values).toFixed(2)}`;
    byId("inside-out").replaceChildren(...view.pieces.map((piece, n) => {
      const span = element("span", { "data-n": n, title: view.values[n].toFixed(3), class: piece === "\n" ? "newline" : undefined }, piece);
      span.style.background = signedColor(view.values[n] / most);
      return span;
    }));
    byId("followers-heading").hidden = view.followers.length === 0;
    byId("followers").replaceChildren(...view.followers.map(({ what, unit: number, correlation }) => {
      const button = element("button", {}, `${what}: unit ${number} (${correlation.toFixed(2)})`);
      button.onclick = () => working((stop) => look(stop, number));
      return element("li", {}, button);
    }));
  }

  const lookAtUnit = () => working((signal) => look(signal, unit.value === "" ? undefined : Number(unit.value)));
  byId("inside-start").onclick = lookAtUnit;
  walkable(byId("inside-out"), { show: ({ dataset: { n } }) => {
    byId("inside-value").textContent = `after “${view.pieces[n]}”: ${view.values[n].toFixed(3)}`;
  } });
  for (const field of [quantity, layer]) field.onchange = () => { unit.value = ""; };
  model.onchange = () => { // another network may lack the quantity and the layer
    offer(quantity, ["h"], [NAMES.h]);
    layer.value = 0;
    unit.value = "";
  };
  unit.onchange = lookAtUnit;
  return (of) => {
    offer(model, of("language-model").map((one) => one.name));
    byId("inside-start").disabled = model.disabled;
  };
}
