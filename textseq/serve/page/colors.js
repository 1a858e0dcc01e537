// Colors of numbers over text.

/** Upper bounds in nats and their colors: those of textseq-sample --show-surprisal. */
const SCALE = [
  [0.5, "#afd7ff"], [1, "#afffd7"], [2, "#d7ff87"], [3, "#ffff87"], [4, "#ffd75f"], [6, "#ff8700"], [Infinity, "#ff5f5f"],
];

/** The color of a surprisal in nats. */
export function surprisalColor(nats) {
  return SCALE.find(([below]) => nats < below)[1];
}

/** The color of a number between -1 and 1: orange, nothing, blue; fainter on a dark page, so that text can be read. */
export function signedColor(value) {
  const strength = `calc(var(--strength) * ${Math.min(1, Math.abs(value))})`;
  return value >= 0 ? `rgb(64 145 255 / ${strength})` : `rgb(255 140 20 / ${strength})`;
}

/** Fill the legend of surprisals. */
export function legend(place) {
  for (const [below, color] of SCALE) {
    const step = document.createElement("span");
    step.textContent = below === Infinity ? "more nats" : `<${below}`;
    step.style.background = color;
    place.append(step);
  }
}
