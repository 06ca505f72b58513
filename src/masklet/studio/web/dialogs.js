/** Dialogs: modal windows with a title, a body and buttons. Escape closes them; the focus stays inside. */

import { button, newId, spacer } from "./controls.js";
import { append, div, h } from "./dom.js";

/** @import { Child } from "./dom.js" */

/**
 * Open a dialog. When it closes, the focus returns to where keys had put it; after a click, to the canvas.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {"narrow" | "normal" | "wide"} [options.size]
 * @param {(Child | Child[])[]} [options.content]
 * @param {(Child | Child[])[]} [options.footer]
 * @param {() => void} [options.onclose]
 * @returns {{footer: HTMLElement, close: () => void}}
 */
export function openDialog({ title, size = "normal", content = [], footer, onclose }) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const byKeyboard = before?.matches("button:focus-visible, input:focus-visible");
  const id = newId();
  const body = div("content");
  const foot = h("footer", { hidden: !footer });
  const element = h(
    "dialog",
    { class: size, "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), button({ icon: "close", label: "Close", onclick: () => close() })),
    body,
    foot,
  );
  append(body, ...content);
  if (footer) append(foot, ...footer);
  let isOpen = true;
  const end = () => {
    if (!isOpen) return;
    isOpen = false;
    element.remove();
    if (byKeyboard) before?.focus({ preventScroll: true });
    if (!byKeyboard || document.activeElement !== before) focusCanvas();
    onclose?.();
  };
  const close = () => {
    element.close();
    end(); // at once: the event comes later, and keys that are pressed before it would be lost
  };
  element.addEventListener("close", end);
  element.addEventListener("keydown", (event) => {
    if (element.open) event.stopPropagation();
  });
  element.addEventListener("mousedown", (event) => {
    if (event.target === element) close();
  });
  document.body.append(element);
  element.showModal();
  const first = body.querySelector("input, select, textarea, button") || foot.querySelector("button");
  /** @type {HTMLElement | null} */ (first)?.focus();
  return { footer: foot, close };
}

export function focusCanvas() {
  /** @type {HTMLElement | null} */ (document.querySelector("#canvas-area canvas"))?.focus({ preventScroll: true });
}

/** Ask whether to continue. @param {{title: string, text: string, confirm: string}} options @returns {Promise<boolean>} */
export function confirm({ title, text, confirm: label }) {
  return new Promise((resolve) => {
    let confirmed = false;
    const dialog = openDialog({
      title,
      size: "narrow",
      content: [h("p", {}, text)],
      footer: [
        spacer(),
        button({ text: "Cancel", class: "outlined", onclick: () => dialog.close() }),
        button({
          text: label,
          class: "primary",
          onclick: () => {
            confirmed = true;
            dialog.close();
          },
        }),
      ],
      onclose: () => resolve(confirmed),
    });
    /** @type {HTMLElement | null} */ (dialog.footer.querySelector(".primary"))?.focus();
  });
}
