/** Keyboard: runs the actions of shortcuts, unless a control uses the key itself, and those of buttons. */

import { TOOL_NAMES } from "./app.js";
import { keyName } from "./shortcuts.js";

/** @import { App } from "./app.js" */

/**
 * What each action does. A function that returns false leaves the key to the browser.
 *
 * @param {App} app
 * @param {Record<string, () => unknown>} pageActions actions of panels and dialogs
 * @returns {Record<string, (key: string) => unknown>}
 */
function actionsOf(app, pageActions) {
  const { store, view, tracking, navigation, objects, review, corrections } = app;
  const tools = /** @type {import("./store.js").Tool[]} */ (Object.keys(TOOL_NAMES));
  return {
    ...Object.fromEntries(tools.map((tool) => [`tool.${tool}`, () => app.useTool(tool)])),
    finish: () => corrections.finish(),
    cancel: () => app.cancel(),
    candidate: () => corrections.nextCandidate(),
    remove: () => objects.remove(),
    clear: () => review.clear(),
    undo: () => app.undo("undo"),
    redo: () => app.undo("redo"),
    save: () => app.server.reportSaved(),
    "brush.smaller": () => view.stepBrushSize(-1),
    "brush.larger": () => view.stepBrushSize(1),
    cursor: () => {
      view.focus();
      view.toggleKeyboardCursor();
    },
    "object.previous": () => objects.step(-1),
    "object.next": () => objects.step(1),
    "object.class": (key) => app.classes.useDigit(Number(key)),
    "object.hide": () => objects.toggle("hidden"),
    "object.hideAll": () => objects.toggleHideAll(),
    "object.solo": () => objects.toggleSolo(),
    "object.lock": () => objects.toggle("locked"),
    "object.absent": () => review.markAbsent(),
    "object.copy": () => objects.copyToNext(app.editor, navigation),
    "step.back": () => navigation.step(-1),
    "step.next": () => navigation.step(1),
    "step.back10": () => navigation.step(-10),
    "step.next10": () => navigation.step(10),
    "step.first": () => navigation.stepToEnd("first"),
    "step.last": () => navigation.stepToEnd("last"),
    "annotated.previous": () => navigation.stepAnnotated(true),
    "annotated.next": () => navigation.stepAnnotated(false),
    "media.previous": () => navigation.stepMedia(-1),
    "media.next": () => navigation.stepMedia(1),
    "unchecked.next": () => navigation.stepUnchecked(false),
    "unchecked.previous": () => navigation.stepUnchecked(true),
    check: () => review.toggleChecked(),
    checkNext: () => review.toggleChecked(true),
    play: () => navigation.playback.toggle(),
    track: () => (tracking.plan ? tracking.retrack() : tracking.track("forward")),
    "track.both": () => tracking.track("both"),
    "track.backward": () => tracking.track("backward"),
    "track.range": () => review.inRange((range) => tracking.track("both", range)),
    "track.stop": () => tracking.stop(),
    "range.start": () => store.setRangeEnd("start"),
    "range.stop": () => store.setRangeEnd("stop"),
    "review.next": () => review.step(false),
    "review.previous": () => review.step(true),
    accept: () => review.accept(),
    acceptRange: () => review.inRange((range) => review.accept(range)),
    clearRange: () => review.inRange((range) => review.clear(range)),
    absentRange: () => review.inRange((range) => review.markAbsent(range)),
    "zoom.in": () => view.zoomBy(1.25),
    "zoom.out": () => view.zoomBy(1 / 1.25),
    "zoom.fit": () => view.viewport.fit(),
    "zoom.full": () => view.viewport.actualSize(),
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
    const isControl = target.closest(
      "#topbar button, #timeline-panel button, #side-panel button, #media-panel button, [role=option], summary",
    );
    if (isControl && !isTextField(/** @type {HTMLElement} */ (document.activeElement))) app.view.focus();
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
