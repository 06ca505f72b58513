/** Status line: connection, what is saved, model, activity, what was done, position of the pointer. */

import { spacer } from "../controls.js";
import { append, fill, h, setText, span } from "../dom.js";
import { icon } from "../icons.js";

/** @import { App } from "../app.js" */

const ACTIVITIES = /** @type {Record<string, string>} */ ({
  loading: "Loading the model…",
  encoding: "Encoding…",
  decoding: "Decoding…",
});

const NOTE_MS = 6000;

/** @type {Record<import("../store.js").Tool, string>} */
const HINTS = {
  select: "Click: select an object · Drag: move the view",
  prompt: "Click: object · Right click or Shift: background · Drag: box · Alt + drag: box with points",
  brush: "Drag: extend the mask · Alt + right drag: size",
  eraser: "Drag: remove from the mask · Alt + right drag: size",
  polygon: "Drag vertices · Click an edge: add a vertex · Del: remove it",
  proposals: "Click a mask to turn it into an object",
};

/** @param {App} app @param {HTMLElement} root */
export function createStatusLine(app, root) {
  const { server } = app;
  const model = h("span", { class: "state", title: "Model" });
  const connection = h("span", { class: "state", role: "status" });
  const saved = span("state");
  const activity = h("span", { role: "status", "aria-live": "off" });
  const note = span("note");
  const hint = span("hint");
  const cursor = h("span", { "aria-hidden": "true" });
  append(root, connection, saved, model, activity, note, spacer(), hint, cursor);

  function draw() {
    const { modelProblem, busy } = server;
    if (modelProblem) drawState(model, `The model is not loaded: ${modelProblem}`, "warning", "bad");
    else drawState(model, app.store.model ? `Model: ${app.store.model}` : "", "", "");
    model.title = modelProblem || "Model";
    setText(activity, busy ? ACTIVITIES[busy] || `${busy}…` : "");
    drawState(connection, ...connectionText());
    const waiting = server.unsaved > 0;
    drawState(saved, waiting ? "Saving…" : "Saved", waiting ? "more" : "check", waiting ? "" : "good");
    saved.hidden = !app.store.loaded;
  }

  /** @returns {[string, string, string]} text, icon, class */
  function connectionText() {
    if (server.state === "open") return ["Connected", "accept", "good"];
    if (server.state === "connecting") return ["Connecting…", "more", ""];
    if (server.state === "refused")
      return ["No access: open the studio again with the command masklet studio", "warning", "bad"];
    return [server.closing ? "The server has ended" : "Not connected; trying again…", "warning", "bad"];
  }

  /** @param {HTMLElement} element @param {string} text @param {string} name of the icon, or "" @param {string} kind */
  function drawState(element, text, name, kind) {
    if (element.textContent === text) return;
    element.className = `state ${kind}`;
    fill(element, name && icon(name), text);
  }

  server.on("status", draw);
  let timer = 0;
  app.messages.onNote = (text) => {
    setText(note, text);
    clearTimeout(timer);
    timer = setTimeout(() => setText(note, ""), NOTE_MS);
  };
  app.view.on("cursor", ({ x, y }) => setText(cursor, x === null ? "" : `${Math.floor(x)}, ${Math.floor(y)}`));
  app.store.subscribe(["project"], draw);
  app.store.subscribe(["tool", "place"], () => setText(hint, app.store.shown ? HINTS[app.store.tool] : ""));
  draw();
}
