/** Section of the side panel: a title that folds its content. */

import { div, h } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {string} id
 * @param {string} title
 * @param {(Node | null)[]} [buttons] beside the title
 * @returns {{root: HTMLElement, body: HTMLElement, heading: HTMLElement}}
 */
export function createSection(id, title, buttons = []) {
  const body = div("body");
  const heading = h("h2", {}, title);
  const details = h("details", { open: true }, h("summary", {}, icon("chevron"), heading), body);
  const root = h(
    "section",
    { class: "section", id, "aria-label": title },
    details,
    buttons.length > 0 && div("buttons", ...buttons),
  );
  return { root, body, heading };
}
