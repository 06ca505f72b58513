/** DOM helpers: elements, keyed lists, colors of the theme. */

/** @typedef {string | number | Node | null | undefined | false} Child */
/** @typedef {Record<string, any>} Props */

/** Names whose properties cannot be set. */
const ATTRIBUTES = new Set(["for", "form", "list", "role"]);

/**
 * Create an element. Properties that begin with "on" are listeners, `class` is the class name, and names that the
 * element does not have as a property are attributes.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(element, name, value);
  append(element, ...children);
  return element;
}

/** @param {string} id */
export function part(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {Element} parent @param {...(Child | Child[])} children */
export function append(parent, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

/** @param {string} className @param {...(Child | Child[])} children */
export function div(className, ...children) {
  return h("div", { class: className }, ...children);
}

/** @param {string} className @param {...(Child | Child[])} children */
export function span(className, ...children) {
  return h("span", { class: className }, ...children);
}

/** @param {Element} element @param {string} name @param {any} value */
function setProp(element, name, value) {
  if (name.startsWith("on")) {
    if (value) element.addEventListener(name.slice(2), value);
  } else if (name in element && !ATTRIBUTES.has(name)) /** @type {any} */ (element)[name] = value;
  else if (value !== null && value !== undefined) element.setAttribute(name, String(value));
}

/** Replace the children of an element. @param {Element} parent @param {...(Child | Child[])} children */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, ...children);
}

/** Change a text if it differs: assistive technology is not notified twice. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Update the children of `parent` to one element per item. Elements of items that stay are kept with their focus.
 *
 * @template T
 * @template {HTMLElement} E
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => E} create
 * @param {(element: E, item: T) => void} update
 */
export function updateList(parent, items, keyOf, create, update) {
  /** @type {Map<string, E>} */
  const existing = new Map();
  for (const child of parent.children) {
    existing.set(/** @type {HTMLElement} */ (child).dataset.key || "", /** @type {E} */ (child));
  }
  let previous = /** @type {Element | null} */ (null);
  for (const item of items) {
    const key = keyOf(item);
    let element = existing.get(key);
    existing.delete(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    const expected = previous ? previous.nextElementSibling : parent.firstElementChild;
    if (expected !== element) parent.insertBefore(element, expected);
    update(element, item);
    previous = element;
  }
  for (const element of existing.values()) element.remove();
}

/** @param {() => void} draw @returns {() => void} that draws in the next animation frame, once for all calls before it */
export function inNextFrame(draw) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    const run = () => {
      scheduled = false;
      draw();
    };
    if (document.hidden)
      setTimeout(run, 50); // hidden windows have no frames
    else requestAnimationFrame(run);
  };
}

/**
 * Move the focus through the items of a list with the arrow keys; one item is in the tab order.
 *
 * @param {HTMLElement} list
 * @param {string} selector of the items
 * @param {{horizontal?: boolean}} [options]
 */
export function rovingFocus(list, selector, options = {}) {
  const [back, next] = options.horizontal ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const items = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(selector)]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    const to = event.key === back ? at - 1 : event.key === next ? at + 1 : at;
    if (to === at || to < 0 || to >= items.length) return;
    event.preventDefault();
    event.stopPropagation();
    items.forEach((item, index) => (item.tabIndex = index === to ? 0 : -1));
    items[to].focus();
  });
}

/** @param {string} name such as "--lane" @returns {string} the color of the theme, as the browser computes it */
export function themeColor(name) {
  const probe = h("span", { hidden: true });
  document.body.append(probe);
  probe.style.color = `var(${name})`;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

/** @param {string} value @returns {string} the last part of a path */
export function baseName(value) {
  return value.split(/[\\/]/).filter(Boolean).pop() || value;
}

/** @param {number} count @param {string} noun @param {string} [plural] */
export function counted(count, noun, plural = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}
