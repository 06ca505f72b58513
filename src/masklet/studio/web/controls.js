/** Controls: buttons with icons and shortcuts, sliders with values. */

import { div, h, span } from "./dom.js";
import { icon } from "./icons.js";

/** @import { Shortcuts } from "./shortcuts.js" */

/**
 * A button. `action` is the shortcut that does the same; its key is shown in the tooltip. A button without `onclick` runs
 * the action.
 *
 * @param {object} options
 * @param {string} [options.label] accessible name, and the tooltip; by default the text
 * @param {(event: MouseEvent) => void} [options.onclick]
 * @param {string} [options.icon]
 * @param {string} [options.text] visible text; by default only the icon is visible
 * @param {string} [options.action]
 * @param {string} [options.class]
 * @param {boolean} [options.pressed] whether it can be pressed down
 * @returns {HTMLButtonElement}
 */
export function button(options) {
  const { label = options.text || "", action, onclick } = options;
  const classes = ["button", options.text ? "" : "icon-only", options.class || ""].filter(Boolean).join(" ");
  return h(
    "button",
    {
      type: "button",
      class: classes,
      title: label,
      "aria-label": options.text === label ? null : label,
      "aria-pressed": options.pressed === undefined ? null : String(options.pressed),
      "data-action": action || null,
      "data-runs": onclick ? null : action,
      "data-label": label,
      onclick,
    },
    options.icon && icon(options.icon),
    options.text && h("span", {}, options.text),
  );
}

/** @param {string} name @param {string} label @param {string} action that it runs @returns {HTMLButtonElement} */
export function iconButton(name, label, action) {
  return button({ icon: name, label, action });
}

/** Show the keys of shortcuts in the tooltips of buttons. @param {ParentNode} root @param {Shortcuts} shortcuts */
export function showHints(root, shortcuts) {
  for (const element of root.querySelectorAll("[data-action]")) {
    const target = /** @type {HTMLElement} */ (element);
    const id = target.dataset.action || "";
    const [key] = shortcuts.keysOf(id);
    target.title = (target.dataset.label || "") + shortcuts.hint(id);
    if (key) target.setAttribute("aria-keyshortcuts", key.replace("Ctrl", "Control"));
    else target.removeAttribute("aria-keyshortcuts");
  }
}

/** Change the label of a button. @param {HTMLElement} element @param {string} label @param {Shortcuts} shortcuts */
export function setLabel(element, label, shortcuts) {
  if (element.dataset.label === label) return;
  element.dataset.label = label;
  element.setAttribute("aria-label", label);
  element.title = label + (element.dataset.action ? shortcuts.hint(element.dataset.action) : "");
}

/** @param {HTMLElement} element @param {boolean} pressed */
export function setPressed(element, pressed) {
  const value = String(pressed);
  if (element.getAttribute("aria-pressed") !== value) element.setAttribute("aria-pressed", value);
}

let nextId = 1;

/** A row with a label and a control. @param {string} text @param {HTMLElement} control */
export function labelled(text, control) {
  control.id ||= newId();
  return div("labelled", h("label", { for: control.id, title: text }, text), control);
}

/** @returns {HTMLElement} what takes the space that is left in a row */
export function spacer() {
  return span("spacer");
}

/** @returns {string} an id for an element that a label refers to */
export function newId() {
  return `control-${nextId++}`;
}

/**
 * A labelled slider with its value.
 *
 * @param {object} options
 * @param {string} options.label
 * @param {number} [options.min]
 * @param {number} [options.max]
 * @param {number} [options.step]
 * @param {number} options.value
 * @param {(value: number) => string} options.format
 * @param {(value: number) => void} options.oninput
 * @returns {{row: HTMLElement, set: (value: number) => void}}
 */
export function slider({ label, min = 0, max = 100, step = 1, value, format, oninput }) {
  const id = newId();
  const output = h("output", { for: id }, format(value));
  const input = h("input", { type: "range", id, min, max, step });
  const show = (/** @type {number} */ shown) => {
    output.textContent = format(shown);
    input.setAttribute("aria-valuetext", format(shown));
  };
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    oninput(input.valueAsNumber);
  });
  const set = (/** @type {number} */ shown) => {
    input.value = String(shown);
    show(shown);
  };
  set(value);
  return { row: div("labelled with-value", h("label", { for: id }, label), input, output), set };
}

/**
 * @param {{label: string, checked?: boolean, onchange: (checked: boolean) => void}} options
 * @returns {{row: HTMLLabelElement, input: HTMLInputElement}}
 */
export function checkbox({ label, checked = false, onchange }) {
  const input = h("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
  return { row: h("label", { class: "check" }, input, h("span", {}, label)), input };
}
