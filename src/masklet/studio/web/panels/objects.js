/** Objects panel: the objects of the image or video, with their color, class, visibility and lock. */

import { button, setLabel, setPressed } from "../controls.js";
import { append, h, rovingFocus, setText, updateList } from "../dom.js";
import { icon } from "../icons.js";
import { describeCell, isLow, readCell } from "../lane_colors.js";
import { createSection } from "./section.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../store.js").StudioObject} StudioObject */

/**
 * @param {App} app
 * @param {HTMLElement} parent
 */
export function createObjects(app, parent) {
  const { store } = app;
  const hideAll = button({ icon: "eye", label: "Hide all objects", action: "object.hideAll", pressed: false, onclick: (event) => {
    event.preventDefault();
    app.toggleHideAll();
  } });
  const create = button({ icon: "add", label: "New object: the next click starts it", action: "finish", onclick: (event) => {
    event.preventDefault();
    app.finish();
  } });
  const { root, body, heading } = createSection("objects", "Objects", [hideAll, create]);
  body.classList.remove("body");
  const list = h("ul", { class: "list", "aria-label": "Objects" });
  const empty = h("p", { class: "empty" }, "Click on an object in the image, or drag a box around it.");
  append(body, list, empty);
  parent.append(root);
  rovingFocus(list, ".main");

  /** @type {number | null} */
  let renaming = null;

  function draw() {
    const ids = [...store.shownObjects.keys()].sort((a, b) => a - b);
    empty.hidden = ids.length > 0 || store.shown === null;
    list.hidden = ids.length === 0;
    setText(heading, ids.length ? `Objects (${ids.length})` : "Objects");
    setPressed(hideAll, store.hideAll);
    setLabel(hideAll, store.hideAll ? "Show all objects" : "Hide all objects", app.shortcuts);
    updateList(list, ids, String, createRow, updateRow);
    const mains = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".main")]);
    if (!mains.some((main) => main.tabIndex === 0) && mains.length) mains[0].tabIndex = 0;
  }

  /** @param {number} id */
  function createRow(id) {
    const color = h("input", { type: "color", onchange: () => app.changeObject(id, { color: color.value }) });
    const row = h(
      "li",
      { class: "item" },
      color,
      h(
        "button",
        { type: "button", class: "main", onclick: () => app.pick(id), ondblclick: () => rename(id) },
        h("span", { class: "texts" }, h("span", { class: "name" }), h("span", { class: "note" })),
        h("span", { class: "score" }),
      ),
      button({ icon: "remove", label: "Delete", class: "quiet", onclick: () => app.removeObject(id) }),
      button({ icon: "solo", label: "Show only this object", class: "quiet", pressed: false, onclick: () => app.toggleSolo(id) }),
      button({ icon: "lock", label: "Lock", class: "lock quiet", pressed: false, onclick: () => app.toggleLocked(id) }),
      button({ icon: "eye", label: "Hide", pressed: false, onclick: () => app.toggleHidden(id) }),
    );
    row.addEventListener("pointerenter", () => app.view.setHighlighted(id));
    row.addEventListener("pointerleave", () => app.view.setHighlighted(null));
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {number} id
   */
  function updateRow(row, id) {
    const object = /** @type {StudioObject} */ (store.objectOf(id));
    const selected = id === store.object;
    const label = store.nameOf(id);
    const [color] = /** @type {HTMLInputElement[]} */ ([...row.querySelectorAll("input[type=color]")]);
    if (color !== document.activeElement) color.value = object.color;
    color.setAttribute("aria-label", `Color of ${label}`);
    color.title = "Color";
    row.classList.toggle("selected", selected);
    row.classList.toggle("dim", !store.isVisible(id));
    const main = /** @type {HTMLElement} */ (row.querySelector(".main"));
    main.setAttribute("aria-current", String(selected));
    if (selected) {
      for (const other of list.querySelectorAll(".main")) /** @type {HTMLElement} */ (other).tabIndex = -1;
      main.tabIndex = 0;
    } else if (!main.hasAttribute("tabindex")) main.tabIndex = -1;
    const [name, note, score] = /** @type {HTMLElement[]} */ ([...row.querySelectorAll(".name, .note, .score")]);
    const byte = store.cellOf(id);
    setText(name, label);
    setText(note, object.class === null ? "no class" : store.classes.get(object.class)?.name || "no class");
    showScore(score, byte);
    main.title = describeCell(byte);
    const [, solo, lock, eye] = /** @type {HTMLElement[]} */ ([...row.querySelectorAll(".button")]);
    setPressed(solo, store.solo === id);
    setToggle(lock, object.locked, "lock", "unlock", `Unlock ${label}`, `Lock ${label}`);
    setToggle(eye, object.hidden, "eyeOff", "eye", `Show ${label}`, `Hide ${label}`);
    setLabel(solo, store.solo === id ? "Show the other objects again" : `Show only ${label}`, app.shortcuts);
    setLabel(/** @type {HTMLElement} */ (row.querySelector(".button")), `Delete ${label}`, app.shortcuts);
  }

  /**
   * @param {HTMLElement} element
   * @param {boolean} on
   * @param {string} iconOn
   * @param {string} iconOff
   * @param {string} labelOn
   * @param {string} labelOff
   */
  function setToggle(element, on, iconOn, iconOff, labelOn, labelOff) {
    if (element.getAttribute("aria-pressed") !== String(on) || !element.dataset.drawn) {
      element.replaceChildren(icon(on ? iconOn : iconOff));
      element.dataset.drawn = "yes";
    }
    setPressed(element, on);
    setLabel(element, on ? labelOn : labelOff, app.shortcuts);
  }

  /**
   * @param {HTMLElement} element
   * @param {number} byte
   */
  function showScore(element, byte) {
    const { state, accepted, score } = readCell(byte);
    const marks = { tracked: score.toFixed(2), absent: "absent", hidden: "not visible", nothing: "" };
    const text = state in marks ? marks[/** @type {keyof typeof marks} */ (state)] : "";
    setText(element, `${isLow(byte) ? "▼ " : ""}${text}${accepted ? " ✓" : ""}`.trim());
    element.classList.toggle("low", isLow(byte));
  }

  /** @param {number | null} id */
  function rename(id) {
    const row = id === null ? null : /** @type {HTMLElement | null} */ (list.querySelector(`[data-key="${id}"]`));
    const object = id === null ? null : store.objectOf(id);
    if (!row || !object || id === null || renaming !== null) return;
    renaming = id;
    const main = /** @type {HTMLElement} */ (row.querySelector(".main"));
    const input = h("input", { class: "field", value: object.name, "aria-label": "Name of the object", maxLength: 200 });
    let done = false;
    const close = (/** @type {boolean} */ save) => {
      if (done) return;
      done = true;
      renaming = null;
      const value = input.value.trim();
      input.remove();
      main.hidden = false;
      if (save && value && value !== object.name) app.changeObject(id, { name: value });
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") {
        close(event.key === "Enter");
        main.focus();
      }
    });
    input.addEventListener("blur", () => close(true));
    main.hidden = true;
    main.after(input);
    input.focus();
    input.select();
  }

  store.subscribe(["objects", "selection", "lanes", "place", "classes", "view"], draw);
  store.subscribe(["selection"], () => {
    list.querySelector(`[data-key="${store.object}"]`)?.scrollIntoView({ block: "nearest" });
  });
  return { rename };
}
