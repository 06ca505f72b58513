/** Status line: model, activity, connection, what is saved, position of the pointer. */

import { append, fill, h, setText } from "../dom.js";
import { icon } from "../icons.js";

/** @typedef {import("../app.js").App} App */

const ACTIVITIES = /** @type {Record<string, string>} */ ({
  loading: "Loading the model…",
  encoding: "Encoding…",
  decoding: "Decoding…",
});

/** @type {Record<import("../store.js").Tool, string>} */
const HINTS = {
  select: "Click: select an object · Drag: move the view",
  prompt: "Click: object · Right click or Shift: background · Drag: box · Alt + drag: box with points",
  brush: "Drag: extend the mask · Alt + right drag: size",
  eraser: "Drag: remove from the mask · Alt + right drag: size",
  polygon: "Drag vertices · Click an edge: add a vertex · Del: remove it",
  proposals: "Click a mask to turn it into an object",
};

/**
 * @param {App} app
 * @param {HTMLElement} root
 */
export function createStatusLine(app, root) {
  const model = h("span", { title: "Model" });
  const connection = h("span", { class: "state", role: "status" });
  const saved = h("span", { class: "state" });
  const activity = h("span", { role: "status", "aria-live": "off" });
  const hint = h("span", { class: "hint" });
  const cursor = h("span", { "aria-hidden": "true" });
  append(root, connection, saved, model, activity, h("span", { class: "spacer" }), hint, cursor);

  function draw() {
    setText(model, app.store.model ? `Model: ${modelName(app.store.model)}` : "");
    setText(activity, app.busy.what ? ACTIVITIES[app.busy.what] || `${app.busy.what}…` : "");
    drawState(connection, ...connectionText());
    const waiting = app.unsaved > 0;
    drawState(saved, waiting ? "Saving…" : "Saved", waiting ? "more" : "check", waiting ? "" : "good");
    saved.hidden = !app.loaded;
  }

  /** @returns {[string, string, string]} text, icon, class */
  function connectionText() {
    if (app.connectionState === "open") return ["Connected", "accept", "good"];
    if (app.connectionState === "connecting") return ["Connecting…", "more", ""];
    if (app.connectionState === "refused")
      return ["No access: open the studio again with the command masklet studio", "warning", "bad"];
    return [app.closing ? "The server has ended" : "Not connected; trying again…", "warning", "bad"];
  }

  /**
   * @param {HTMLElement} element
   * @param {string} text
   * @param {string} name of the icon
   * @param {string} kind
   */
  function drawState(element, text, name, kind) {
    if (element.textContent === text) return;
    element.className = `state ${kind}`;
    fill(element, icon(name), text);
  }

  function drawHint() {
    const { store } = app;
    setText(hint, store.shown ? HINTS[store.tool] : "");
  }

  app.onStatus(draw);
  app.view.on("cursor", ({ x, y }) => setText(cursor, x === null ? "" : `${Math.floor(x)}, ${Math.floor(y)}`));
  app.store.subscribe(["project"], draw);
  app.store.subscribe(["tool", "place"], drawHint);
  draw();
}

/**
 * @param {any} model a name, or an object with a name
 * @returns {string}
 */
function modelName(model) {
  return typeof model === "string" ? model : model?.name || "";
}
