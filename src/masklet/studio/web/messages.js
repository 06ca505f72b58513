/** Messages: notices and problems, shown for some seconds and read aloud. */

import { h, span } from "./dom.js";
import { icon } from "./icons.js";

const NOTICE_MS = 4000;
const PROBLEM_MS = 12000;
const MAX_SHOWN = 3;

export class Messages {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.polite = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    document.body.append(this.polite);
    /** @type {(text: string) => void} */
    this.onNote = () => {};
  }

  /** Confirm what was done, in the status line. @param {string} text */
  note(text) {
    this.announce(text);
    this.onNote(text);
  }

  /** @param {string} text */
  notice(text) {
    this.announce(text);
    this.show(text, false);
  }

  /** @param {unknown} problem an error, or a text */
  problem(problem) {
    this.show(problem instanceof Error ? sentence(problem.message) : String(problem), true);
  }

  /** Read a text aloud without showing it. @param {string} text */
  announce(text) {
    this.polite.textContent = "";
    setTimeout(() => (this.polite.textContent = text), 30);
  }

  /** @param {string} text @param {boolean} isProblem */
  show(text, isProblem) {
    for (const shown of [...this.root.children]) if (shown.querySelector(".text")?.textContent === text) shown.remove();
    const message = h(
      "div",
      { class: isProblem ? "message problem" : "message", role: isProblem ? "alert" : null },
      isProblem && icon("warning"),
      span("text", text),
      h(
        "button",
        { class: "button icon-only", "aria-label": "Close message", onclick: () => message.remove() },
        icon("close"),
      ),
    );
    this.root.append(message);
    while (this.root.children.length > MAX_SHOWN) this.root.firstElementChild?.remove();
    setTimeout(() => message.remove(), isProblem ? PROBLEM_MS : NOTICE_MS);
  }
}

/** @param {any} problem of an event: a text, or an object with `detail` @param {string} otherwise @returns {string} */
export function problemText(problem, otherwise) {
  if (typeof problem === "string") return problem;
  return problem?.detail || otherwise;
}

/** @param {string} text @returns {string} with a capital letter and a full stop */
export function sentence(text) {
  const start = /^[a-z]+[\s,:]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text; // no file names
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
