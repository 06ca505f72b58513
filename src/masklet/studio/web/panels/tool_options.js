/** Tool options: brush size, simplification of polygons, proposals, opacity. */

import { TOOL_NAMES } from "../app.js";
import { button, checkbox, slider, spacer } from "../controls.js";
import { append, counted, div, h, setText, span } from "../dom.js";
import { createSection } from "./section.js";

/** @import { App } from "../app.js" */

const MAX_BRUSH = 500;

/** @param {App} app @param {HTMLElement} parent */
export function createToolOptions(app, parent) {
  const { store, view } = app;
  const { root, body, heading } = createSection("tool", "Tool");
  // the slider is logarithmic: sizes from 1 to 500 pixels in equal steps of their ratio
  const brush = slider({
    label: "Size",
    value: toSlider(view.brushSize || 20),
    format: (value) => `${fromSlider(value)} px`,
    oninput: (value) => (view.brushSize = fromSlider(value)),
  });
  view.on("brush", ({ size }) => brush.set(toSlider(size)));
  const tolerance = slider({
    label: "Simplify",
    max: 20,
    step: 0.5,
    value: app.polygons.tolerance,
    format: (value) => `${value} px`,
    oninput: (value) => app.polygons.setTolerance(value),
  });
  const vertices = span("muted");
  const apply = button({
    text: "Apply",
    class: "outlined",
    onclick: () => app.corrections.correct(() => app.polygons.apply()),
  });
  const proposals = h("span", { role: "status" });
  const text = h("input", {
    class: "field",
    type: "search",
    placeholder: "cat, dog",
    "aria-label": "Classes to find, separated by commas",
    title: "Names of classes, separated by commas. Leave it empty for everything in the image.",
    maxLength: 4096,
    autocomplete: "off",
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && !event.isComposing) app.proposals.find(text.value);
    },
  });
  const find = button({ text: "Find", class: "outlined", onclick: () => app.proposals.find(text.value) });
  const textRow = div("row", text, find);
  const takeAll = button({ text: "Take all", class: "outlined", onclick: () => app.proposals.takeAll() });
  const rows = {
    brush: [brush.row],
    eraser: [brush.row],
    polygon: [tolerance.row, div("row", vertices, spacer(), apply)],
    proposals: [textRow, div("row", proposals, spacer(), takeAll)],
    prompt: [
      checkbox({
        label: "Preview under the pointer",
        checked: app.preview.isOn,
        onchange: (on) => app.preview.setOn(on),
      }).row,
    ],
    select: [],
  };
  const opacity = slider({
    label: "Opacity",
    value: Math.round(app.opacity * 100),
    format: (value) => `${value} %`,
    oninput: (value) => app.setOpacity(value / 100),
  });
  const outline = checkbox({
    label: "Outlines only",
    checked: false,
    onchange: (on) => view.viewport.setOutlineOnly(on),
  });
  append(body, ...new Set(Object.values(rows).flat()), opacity.row, outline.row);
  parent.append(root);

  function draw() {
    setText(heading, TOOL_NAMES[store.tool]);
    const shown = new Set(/** @type {HTMLElement[]} */ (rows[store.tool]));
    for (const row of Object.values(rows).flat()) row.hidden = !shown.has(row);
    if (!store.detector) textRow.hidden = true;
  }

  function drawPolygons() {
    const count = app.polygons.polygons.reduce((sum, polygon) => sum + polygon.length, 0);
    setText(vertices, store.object === null ? "Select an object." : counted(count, "vertex", "vertices"));
    apply.disabled = count === 0;
  }

  function drawProposals() {
    const { waiting, open, labels } = app.proposals;
    const names = labels.map(([label, count]) => `${count} ${label}`).join(", ");
    const found = counted(open.length, "proposal") + (names && `: ${names}`);
    const shown = app.proposals.asks ? "Name what to find" : found;
    setText(proposals, waiting ? "Looking for objects…" : shown);
    find.disabled = waiting;
    takeAll.disabled = waiting || open.length === 0;
  }

  app.polygons.onChange = drawPolygons;
  app.proposals.onChange = drawProposals;
  store.subscribe(["tool", "project"], draw);
  store.subscribe(["project"], drawProposals);
  store.subscribe(["selection"], drawPolygons);
  draw();
  drawPolygons();
  drawProposals();
}

/** @param {number} size pixels */
function toSlider(size) {
  return Math.round((100 * Math.log(size)) / Math.log(MAX_BRUSH));
}

/** @param {number} value */
function fromSlider(value) {
  return Math.max(1, Math.round(MAX_BRUSH ** (value / 100)));
}
