/** Section of the side panel: a title that folds its content. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {string} id
 * @param {string} title
 * @param {(Node | null)[]} [buttons] beside the title
 * @returns {{root: HTMLElement, body: HTMLElement, heading: HTMLElement}}
 */
export function createSection(id, title, buttons = []) {
  const body = h("div", { class: "body" });
  const heading = h("h2", {}, title);
  const details = h("details", { open: true }, h("summary", {}, icon("chevron"), heading), body);
  const root = h(
    "section",
    { class: "section", id, "aria-label": title },
    details,
    buttons.length > 0 && h("div", { class: "buttons" }, ...buttons),
  );
  return { root, body, heading };
}
