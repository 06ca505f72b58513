/** Properties of the selected object: class, attributes, candidates, state on the frame. */

import { button, labelled, setLabel, setPressed } from "../controls.js";
import { append, div, fill, h, inNextFrame, setText, span, updateList } from "../dom.js";
import { describeCell } from "../lane_colors.js";
import { createSection } from "./section.js";

/** @import { App } from "../app.js" */

/** @param {App} app @param {HTMLElement} parent */
export function createProperties(app, parent) {
  const { store } = app;
  const { root, body, heading } = createSection("properties", "Selected object");
  const classes = h("select", {
    class: "field",
    onchange: () => app.classes.use(classes.value ? Number(classes.value) : null),
  });
  const attributes = div("attributes");
  const state = h("span", {});
  const candidates = [0, 1, 2].map((index) =>
    button({
      text: String(index + 1),
      label: `Candidate ${index + 1}`,
      action: "candidate",
      pressed: false,
      onclick: () => app.corrections.chooseCandidate(index),
    }),
  );
  const candidateRow = h(
    "div",
    { class: "labelled", role: "group", "aria-label": "Candidate masks" },
    span("label", "Candidates"),
    div("segmented", ...candidates),
  );
  const accept = button({
    icon: "accept",
    text: "Accept",
    class: "outlined",
    onclick: () => store.object !== null && app.review.accept(undefined, [store.object]),
  });
  const absent = button({ icon: "none", text: "Absent", action: "object.absent", class: "outlined" });
  const clear = button({ icon: "eraser", text: "Clear", action: "clear", class: "outlined" });
  const copy = button({ icon: "copy", text: "Copy to next", action: "object.copy", class: "outlined" });
  append(
    body,
    labelled("Class", classes),
    attributes,
    div("labelled", span("label", "Mask"), state),
    candidateRow,
    div("pairs", accept, absent, clear, copy),
  );
  parent.append(root);

  function draw() {
    const object = store.selected;
    root.hidden = object === null;
    if (!object || store.object === null) return;
    setText(heading, `Selected object · ${store.selectedName}`);
    drawClasses(object.class);
    drawAttributes();
    const mask = store.selectedMask;
    const byte = store.cellOf(store.object);
    const score = mask?.source === "prompt" && mask.score !== null ? `, score ${mask.score.toFixed(2)}` : "";
    setText(state, describeCell(byte) + score);
    const { candidate } = app.corrections;
    candidateRow.hidden = candidate === null;
    candidates.forEach((element, index) => setPressed(element, index === candidate));
    absent.hidden = !store.isVideo;
    const accepted = Boolean(byte & 8);
    setLabel(accept, accepted ? "Accepted; click to take it back" : "Accept", app.shortcuts);
    setPressed(accept, accepted);
    accept.disabled = clear.disabled = !(byte & 7);
  }

  /** @param {number | null} current */
  function drawClasses(current) {
    const entries = [...store.classes].sort((a, b) => a[0] - b[0]);
    const wanted = JSON.stringify(entries.map(([id, entry]) => [id, entry.name]));
    if (classes.dataset.entries !== wanted) {
      classes.dataset.entries = wanted;
      fill(
        classes,
        h("option", { value: "" }, "none"),
        entries.map(([id, entry]) => h("option", { value: String(id) }, entry.name)),
      );
    }
    classes.value = current === null ? "" : String(current);
  }

  function drawAttributes() {
    const object = store.selected;
    if (!object) return;
    const ofClass = object.class === null ? [] : store.classes.get(object.class)?.attributes || [];
    const names = [...new Set([...ofClass, ...Object.keys(object.attributes || {})])];
    updateList(
      attributes,
      names,
      (name) => `${store.object} ${name}`,
      createAttribute,
      (row, name) => {
        const input = /** @type {HTMLInputElement} */ (row.querySelector("input"));
        if (input !== document.activeElement) input.value = object.attributes?.[name] || "";
      },
    );
  }

  /** @param {string} name */
  function createAttribute(name) {
    const { object } = store;
    const input = h("input", {
      class: "field",
      maxLength: 1000,
      onchange: () => {
        const entry = store.objectOf(object);
        if (object === null || !entry) return;
        const { [name]: _, ...others } = entry.attributes || {};
        app.objects.change(object, { attributes: input.value ? { ...others, [name]: input.value } : others });
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter") input.blur();
      },
    });
    return labelled(name, input);
  }

  store.subscribe(["objects", "selection", "lanes", "place", "classes", "masks", "prompts"], inNextFrame(draw));
}
