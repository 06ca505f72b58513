/** Page of the drawing area alone. It records what the tools ask for. */

import { ImageView } from "/static/image_view.js";
import { decodeRuns, encodeRuns } from "/static/rle.js";

const NAMES = [
  ...["click", "box", "deleteBox", "movePoint", "deletePoint", "hover", "hoverEnd"],
  ...["paint", "setPolygons", "pick", "takeProposal"],
];

window.calls = [];
window.hoverReply = () => undefined;
window.paintReply = () => undefined;
const actions = Object.fromEntries(
  NAMES.map((name) => [
    name,
    (...values) => {
      window.calls.push([name, ...values.map((value) => (value instanceof Uint32Array ? [...value] : value))]);
      if (name === "hover") return window.hoverReply();
      return name === "paint" ? window.paintReply() : undefined;
    },
  ]),
);
window.events = [];
window.view = new ImageView(document.getElementById("view"), actions);
for (const name of ["brush", "frame", "problem", "keyboard"]) {
  window.view.on(name, (detail) => window.events.push([name, detail]));
}
window.decodeRuns = decodeRuns;

/** Runs of a rectangle. */
window.rectangle = ([height, width], [x0, y0, x1, y1]) => {
  const mask = new Uint8Array(height * width);
  for (let y = y0; y < y1; y++) mask.fill(1, y * width + x0, y * width + x1);
  return encodeRuns(mask, height, width);
};

/** Masks of small rectangles in a grid. */
window.grid = (count, size) =>
  Array.from({ length: count }, (_, index) => {
    const [x, y] = [(index % 20) * 20, Math.floor(index / 20) * 20];
    return { object: index + 1, runs: window.rectangle(size, [x + 2, y + 2, x + 18, y + 18]), color: "#e6194b" };
  });

/** Count the calls of methods in `counts`. */
window.countCalls = (prototype) => {
  window.counts = {};
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof value !== "function" || name === "constructor") continue;
    prototype[name] = function (...values) {
      window.counts[name] = (window.counts[name] ?? 0) + 1;
      return value.apply(this, values);
    };
  }
};

/** Wait until the next frame is drawn. */
window.drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
