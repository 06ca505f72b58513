/** Controls of the live page: bar, side panel, status line, and what lies over the image. */

import { append, div, h, part, setText, span } from "./dom.js";
import { icon } from "./icons.js";
import { createSection } from "./panels/section.js";

const SHORTCUTS = [
  ["Click", "add to the object"],
  ["Right or Shift-click", "remove from it"],
  ["Drag", "draw a box"],
  ["Enter", "next object"],
  ["Alt-click", "select an object"],
  ["Delete", "remove the object"],
  ["P", "pause or resume the view"],
  ["H", "hide or show masks"],
  ["C", "keyboard cursor"],
  ["0, wheel", "fit, zoom"],
];

/** @param {{pause: () => void, next: () => void, record: () => void, stop: () => void}} actions */
export function createControls(actions) {
  const camera = span("camera", "Camera");
  const pauseButton = control("pause", "Pause", actions.pause);
  const nextButton = control("add", "Next object", actions.next);
  const recordButton = control("film", "Record", actions.record);
  recordButton.hidden = true;
  const studioLink = h("a", { class: "button", href: "/", hidden: true }, "Open the studio");
  const stopButton = control("stop", "Stop", actions.stop);
  stopButton.classList.add("danger");
  const group = span("group", pauseButton, nextButton, recordButton);
  append(part("topbar"), camera, group, span("spacer"), studioLink, stopButton);

  const list = h("ul", { class: "list", "aria-label": "Objects" });
  const empty = h("p", { class: "empty" }, "Click on an object, or drag a box around it.");
  const objects = createSection("objects", "Objects");
  objects.body.classList.remove("body");
  append(objects.body, list, empty);
  const saves = h("dl", { class: "outputs" });
  const output = createSection("output", "Output");
  append(output.body, saves);
  const keys = createSection("keys", "Keys and mouse");
  append(keys.body, div("help", ...SHORTCUTS.flatMap(([key, text]) => [h("kbd", {}, key), h("span", {}, text)])));
  append(part("side-panel"), objects.root, output.root, keys.root);

  const state = h("span", { class: "state", role: "status" }, "Connecting …");
  const counts = span("counts");
  append(part("status-line"), state, counts);
  const container = div("view");
  const veil = h("div", { class: "veil", hidden: true });
  const pausedMark = h("div", { class: "paused-mark", hidden: true }, "Paused");
  append(part("canvas-area"), container, pausedMark, veil);
  return {
    ...{ camera, pauseButton, nextButton, recordButton, studioLink, stopButton, list, empty, saves },
    ...{ state, counts, container, veil, pausedMark },
  };
}

/** @param {HTMLElement} element A button with an icon and a text. @param {string} text */
export function setButtonText(element, text) {
  setText(/** @type {HTMLElement} */ (element.lastChild), text);
}

/** @param {string} name of the icon @param {string} text @param {() => void} run */
function control(name, text, run) {
  return h("button", { type: "button", class: "button outlined", onclick: run }, icon(name), h("span", {}, text));
}
