/** Keyboard: runs the actions of shortcuts, unless a control uses the key itself, and those of buttons. */

import { TOOL_NAMES } from "./app.js";
import { keyName } from "./shortcuts.js";

/** @typedef {import("./app.js").App} App */

/**
 * What each action does. A function that returns false leaves the key to the browser.
 *
 * @param {App} app
 * @param {Record<string, () => unknown>} pageActions actions of panels and dialogs
 * @returns {Record<string, (key: string) => unknown>}
 */
function actionsOf(app, pageActions) {
  const { store, view, tracking } = app;
  const tools = /** @type {import("./store.js").Tool[]} */ (Object.keys(TOOL_NAMES));
  return {
    ...Object.fromEntries(tools.map((tool) => [`tool.${tool}`, () => app.useTool(tool)])),
    finish: () => app.finish(),
    cancel: () => app.cancel(),
    candidate: () => app.nextCandidate(),
    remove: () => app.removeObject(),
    clear: () => app.clear(),
    undo: () => app.undo("undo"),
    redo: () => app.undo("redo"),
    save: () => app.reportSaved(),
    "brush.smaller": () => view.stepBrushSize(-1),
    "brush.larger": () => view.stepBrushSize(1),
    cursor: () => {
      view.focus();
      view.toggleKeyboardCursor();
    },
    "object.previous": () => app.stepObject(-1),
    "object.next": () => app.stepObject(1),
    "object.class": (key) => app.useDigit(Number(key)),
    "object.hide": () => app.toggle("hidden"),
    "object.hideAll": () => app.toggleHideAll(),
    "object.solo": () => app.toggleSolo(),
    "object.lock": () => app.toggle("locked"),
    "object.absent": () => app.markAbsent(),
    "object.copy": () => app.copyToNext(),
    "step.back": () => app.step(-1),
    "step.next": () => app.step(1),
    "step.back10": () => app.step(-10),
    "step.next10": () => app.step(10),
    "step.first": () => app.stepToEnd("first"),
    "step.last": () => app.stepToEnd("last"),
    "annotated.previous": () => app.stepAnnotated(true),
    "annotated.next": () => app.stepAnnotated(false),
    "media.previous": () => app.stepMedia(-1),
    "media.next": () => app.stepMedia(1),
    "unchecked.next": () => app.stepUnchecked(false),
    "unchecked.previous": () => app.stepUnchecked(true),
    check: () => app.toggleChecked(),
    checkNext: () => app.toggleChecked(true),
    play: () => app.playback.toggle(),
    track: () => app.track(),
    "track.both": () => tracking.track("both"),
    "track.backward": () => tracking.track("backward"),
    "track.range": () => app.trackRange(),
    "track.stop": () => tracking.stop(),
    "range.start": () => app.setRangeEnd("start"),
    "range.stop": () => app.setRangeEnd("stop"),
    "review.next": () => app.stepReview(false),
    "review.previous": () => app.stepReview(true),
    accept: () => app.accept(),
    acceptRange: () => app.inRange((range) => app.accept(range)),
    clearRange: () => app.inRange((range) => app.clear(range)),
    absentRange: () => app.inRange((range) => app.markAbsent(range)),
    "zoom.in": () => view.zoomBy(1.25),
    "zoom.out": () => view.zoomBy(1 / 1.25),
    "zoom.fit": () => view.fit(),
    "zoom.full": () => view.actualSize(),
    ...pageActions,
    "object.rename": () => (store.object === null ? false : pageActions["object.rename"]()),
  };
}

/** @param {App} app @param {Record<string, () => unknown>} pageActions */
export function listenToKeys(app, pageActions) {
  const actions = actionsOf(app, pageActions);
  let spaceDown = false;

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target instanceof HTMLElement ? event.target : document.body);
    if (isTextField(target)) {
      if (event.key === "Escape") app.view.focus();
      return;
    }
    const name = keyName(event);
    if (name === null || usesKey(target, event)) return;
    if (app.view.handleKey(event)) {
      event.preventDefault();
      return;
    }
    const action = app.shortcuts.actionOf(name);
    if (!action || (event.repeat && !action.repeat)) {
      if (action) event.preventDefault();
      return;
    }
    if (action.id === "candidate" && !isCanvas(target)) return;
    if (name === "Space") {
      spaceDown = true; // acts when the key goes up, since Space and a drag pan
      event.preventDefault();
      return;
    }
    if (actions[action.id](event.key) !== false) event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (keyName(event) !== "Space" || !spaceDown) return;
    spaceDown = false;
    const action = app.shortcuts.actionOf("Space");
    if (action && !app.view.spacePanned) actions[action.id](" ");
  });
  addEventListener("click", ({ target }) => {
    const action = target instanceof Element && target.closest("[data-runs]")?.getAttribute("data-runs");
    if (action) actions[action]("");
  });
  // After a click on a button the keys belong to the canvas again. Keyboard users keep their place.
  addEventListener("click", (event) => {
    const { target } = event;
    if (event.detail === 0 || !(target instanceof Element) || document.querySelector("dialog[open]")) return;
    if (
      target.closest(
        "#topbar button, #timeline-panel button, #side-panel button, #media-panel button, [role=option], summary",
      )
    ) {
      if (!isTextField(/** @type {HTMLElement} */ (document.activeElement))) app.view.focus();
    }
  });
}

/** @param {HTMLElement} element */
function isCanvas(element) {
  return element === document.body || element.closest("#canvas-area") !== null;
}

/** @param {HTMLElement} element */
function isTextField(element) {
  if (element.isContentEditable || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement)
    return true;
  const buttons = ["checkbox", "radio", "range", "button", "submit", "color", "file"];
  return element instanceof HTMLInputElement && !buttons.includes(element.type);
}

/**
 * @param {HTMLElement} element
 * @param {KeyboardEvent} event
 * @returns {boolean} whether a control uses the key itself
 */
function usesKey(element, { key, ctrlKey, metaKey }) {
  const press = (key === "Enter" || key === " ") && !ctrlKey && !metaKey;
  if (press && element.closest("button, a, summary, label, input, select, [role=option]")) return true;
  const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"].includes(key);
  return moves && element instanceof HTMLInputElement && (element.type === "range" || element.type === "radio");
}
