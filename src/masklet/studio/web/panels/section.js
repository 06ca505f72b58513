/** Section of the side panel: a title that folds its content. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {string} id
 * @param {string} title
 * @param {(Node | null)[]} [buttons] beside the title
 * @returns {{root: HTMLDetailsElement, body: HTMLElement, heading: HTMLElement}}
 */
export function createSection(id, title, buttons = []) {
  const body = h("div", { class: "body" });
  const heading = h("h2", {}, title);
  const summary = h("summary", {}, icon("chevron"), heading, h("span", { class: "spacer" }), ...buttons);
  const root = h("details", { class: "section", id, open: true }, summary, body);
  return { root, body, heading };
}
