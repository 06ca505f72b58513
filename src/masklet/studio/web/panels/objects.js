/** Objects panel: the objects of the image or video, with their color, class, visibility and lock. */

import { button, iconButton, setLabel, setPressed } from "../controls.js";
import { append, h, inNextFrame, rovingFocus, setText, span, updateList } from "../dom.js";
import { icon } from "../icons.js";
import { describeCell, isLow, readCell } from "../lane_colors.js";
import { createSection } from "./section.js";

/** @import { App } from "../app.js" */
/** @import { StudioObject } from "../store.js" */
/**
 * @typedef {{color: HTMLInputElement} & Record<"main" | "name" | "note" | "score" | "remove" | "solo" | "lock" | "eye",
 *   HTMLElement> & {drawn: string}} Row
 */

/** @param {App} app @param {HTMLElement} parent */
export function createObjects(app, parent) {
  const { store } = app;
  const hideAll = button({ icon: "eye", label: "Hide all objects", action: "object.hideAll", pressed: false });
  const create = iconButton("add", "New object: the next click starts it", "finish");
  const { root, body, heading } = createSection("objects", "Objects", [hideAll, create]);
  body.classList.remove("body");
  const list = h("ul", { class: "list", "aria-label": "Objects" });
  const empty = h("p", { class: "empty" }, "Click on an object in the image, or drag a box around it.");
  append(body, list, empty);
  parent.append(root);
  rovingFocus(list, ".main");

  /** @type {WeakMap<HTMLElement, Row>} */
  const rows = new WeakMap();
  /** @type {number | null} */
  let renaming = null;
  let revealed = /** @type {number | null} */ (null);

  function draw() {
    const ids = store.objectIds;
    empty.hidden = ids.length > 0 || store.shown === null;
    list.hidden = ids.length === 0;
    setText(heading, ids.length ? `Objects (${ids.length})` : "Objects");
    setPressed(hideAll, store.hideAll);
    setLabel(hideAll, store.hideAll ? "Show all objects" : "Hide all objects", app.shortcuts);
    updateList(list, ids, String, createRow, updateRow);
    if (store.object !== revealed)
      list.querySelector(`[data-key="${store.object}"]`)?.scrollIntoView({ block: "nearest" });
    revealed = store.object;
    moveTabStop();
  }

  /** @param {number} id */
  function createRow(id) {
    const parts = {
      color: h("input", {
        type: "color",
        title: "Color",
        onchange: () => app.objects.change(id, { color: parts.color.value }),
      }),
      main: h("button", {
        type: "button",
        class: "main",
        tabindex: "-1",
        onclick: () => store.select(id),
        ondblclick: () => rename(id),
      }),
      name: span("name"),
      note: span("note"),
      score: span("score"),
      remove: button({ icon: "remove", label: "Delete", class: "quiet", onclick: () => app.objects.remove(id) }),
      solo: button({
        icon: "solo",
        label: "Show only this object",
        class: "quiet",
        pressed: false,
        onclick: () => app.objects.toggleSolo(id),
      }),
      lock: button({
        icon: "unlock",
        label: "Lock",
        class: "quiet",
        pressed: false,
        onclick: () => app.objects.toggle("locked", id),
      }),
      eye: button({ icon: "eye", label: "Hide", pressed: false, onclick: () => app.objects.toggle("hidden", id) }),
      drawn: "", // what the row shows
    };
    append(parts.main, span("texts", parts.name, parts.note), parts.score);
    const row = h("li", { class: "item" }, parts.color, parts.main, parts.remove, parts.solo, parts.lock, parts.eye);
    row.addEventListener("pointerenter", () => app.view.viewport.setHighlighted(id));
    row.addEventListener("pointerleave", () => app.view.viewport.setHighlighted(null));
    rows.set(row, parts);
    return row;
  }

  /** @param {HTMLElement} row @param {number} id */
  function updateRow(row, id) {
    const parts = /** @type {Row} */ (rows.get(row));
    const object = /** @type {StudioObject} */ (store.objectOf(id));
    const selected = id === store.object;
    const label = store.nameOf(id);
    const className = store.className(object.class) || "no class";
    const byte = store.cellOf(id);
    const { color, hidden, locked } = object;
    const shown = [
      label,
      className,
      color,
      byte,
      selected,
      hidden,
      locked,
      store.isVisible(id),
      store.solo === id,
    ].join("\n");
    if (shown === parts.drawn) return;
    parts.drawn = shown;
    if (parts.color !== document.activeElement) parts.color.value = color;
    parts.color.setAttribute("aria-label", `Color of ${label}`);
    row.classList.toggle("selected", selected);
    row.classList.toggle("dim", !store.isVisible(id));
    parts.main.setAttribute("aria-current", String(selected));
    parts.main.title = describeCell(byte);
    setText(parts.name, label);
    setText(parts.note, className);
    showScore(parts.score, byte);
    setPressed(parts.solo, store.solo === id);
    setLabel(parts.solo, store.solo === id ? "Show the other objects again" : `Show only ${label}`, app.shortcuts);
    setToggle(parts.lock, locked, ["lock", "unlock"], [`Unlock ${label}`, `Lock ${label}`]);
    setToggle(parts.eye, hidden, ["eyeOff", "eye"], [`Show ${label}`, `Hide ${label}`]);
    setLabel(parts.remove, `Delete ${label}`, app.shortcuts);
  }

  /** Put one row in the tab order: that of the selected object, or the one with the focus, or the first. */
  function moveTabStop() {
    const mains = [...list.children].map((row) => rows.get(/** @type {HTMLElement} */ (row))?.main);
    const stop =
      mains.find((main) => main === document.activeElement) ||
      mains.find((main) => main?.getAttribute("aria-current") === "true") ||
      mains[0];
    for (const main of mains) if (main) main.tabIndex = main === stop ? 0 : -1;
  }

  /**
   * @param {HTMLElement} element
   * @param {boolean} on
   * @param {[string, string]} icons on, off
   * @param {[string, string]} labels
   */
  function setToggle(element, on, icons, labels) {
    if (element.getAttribute("aria-pressed") !== String(on)) element.replaceChildren(icon(icons[on ? 0 : 1]));
    setPressed(element, on);
    setLabel(element, labels[on ? 0 : 1], app.shortcuts);
  }

  /** @param {HTMLElement} element @param {number} byte */
  function showScore(element, byte) {
    const { state, accepted, score } = readCell(byte);
    /** @type {Record<string, string>} */
    const marks = { tracked: score.toFixed(2), absent: "absent", hidden: "not visible" };
    setText(element, `${isLow(byte) ? "▼ " : ""}${marks[state] || ""}${accepted ? " ✓" : ""}`.trim());
    element.classList.toggle("low", isLow(byte));
  }

  /** @param {number | null} id */
  function rename(id) {
    const row = id === null ? null : /** @type {HTMLElement | null} */ (list.querySelector(`[data-key="${id}"]`));
    const object = store.objectOf(id);
    if (!row || !object || id === null || renaming !== null) return;
    renaming = id;
    const before = /** @type {HTMLElement | null} */ (document.activeElement?.closest("canvas, button"));
    const main = /** @type {HTMLElement} */ (row.querySelector(".main"));
    const input = h("input", {
      class: "field",
      value: object.name,
      "aria-label": "Name of the object",
      maxLength: 200,
    });
    let done = false;
    const close = (/** @type {boolean} */ save) => {
      if (done) return;
      done = true;
      renaming = null;
      const value = input.value.trim();
      input.remove();
      main.hidden = false;
      if (save && value && value !== object.name) app.objects.change(id, { name: value });
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") {
        close(event.key === "Enter");
        (before?.isConnected ? before : main).focus();
      }
    });
    input.addEventListener("blur", () => close(true));
    main.hidden = true;
    main.after(input);
    input.focus();
    input.select();
  }

  store.subscribe(["objects", "selection", "lanes", "place", "classes", "view"], inNextFrame(draw));
  return { rename };
}
