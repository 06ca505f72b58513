/** Shortcuts dialog: lists all shortcuts with search, and changes them. */

import { button, showHints } from "../controls.js";
import { openDialog } from "../dialogs.js";
import { div, fill, h, span } from "../dom.js";
import { GESTURES, Shortcuts, keyName, refusal, saveShortcuts, showKey } from "../shortcuts.js";

/** @import { App } from "../app.js" */
/** @import { Action } from "../shortcuts.js" */

const MARKS = [
  ["◆", "Prompted"],
  ["■", "Edited with the brush or as a polygon"],
  ["▼", "Imported"],
  ["●", "Taken from a proposal"],
  ["Blue", "Tracked with a score from 0.75; the brighter blue, from 0.9"],
  ["Yellow", "Tracked with a score from 0.5 to 0.75"],
  ["Red, lower half", "Tracked with a score below 0.5"],
  ["Dashes", "Marked as absent"],
  ["Thin line", "Tracked, but not visible"],
  ["Green line below", "Accepted"],
];

/** @param {App} app */
export function openShortcuts(app) {
  let draft = app.shortcuts;
  const search = h("input", {
    class: "field",
    type: "search",
    placeholder: "Search actions and keys",
    "aria-label": "Search shortcuts",
    oninput: () => draw(),
  });
  const list = h("div", {});
  const status = h("p", { class: "status", role: "status" });
  const save = button({
    text: "Save",
    class: "primary",
    onclick: () => {
      app.shortcuts = draft;
      saveShortcuts(draft);
      showHints(document, draft);
      dialog.close();
      app.messages.notice("The shortcuts are saved in this browser.");
    },
  });
  const reset = button({
    text: "Reset all",
    class: "outlined",
    onclick: () => {
      draft = new Shortcuts();
      draw();
    },
  });
  const dialog = openDialog({
    title: "Shortcuts",
    size: "wide",
    content: [search, list],
    footer: [status, reset, save],
  });

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const conflicts = draft.conflicts();
    const groups = new Map(/** @type {[string, HTMLElement[]][]} */ ([]));
    for (const action of draft.actions) {
      const keys = draft.keysOf(action.id);
      const text = `${action.title} ${action.group} ${keys.map(showKey).join(" ")} ${keys.join(" ")}`.toLowerCase();
      if (wanted && !text.includes(wanted)) continue;
      groups.set(action.group, [...(groups.get(action.group) || []), row(action, conflicts)]);
    }
    const matches = (/** @type {string[]} */ texts) => texts.join(" ").toLowerCase().includes(wanted);
    fill(
      list,
      [...groups].map(([group, rows]) => part(group, rows)),
      pairs("Mouse, pen and touch", GESTURES.filter(matches)),
      pairs("Marks of the timeline", MARKS.filter(matches)),
    );
    const texts = [...conflicts].map(
      ([key, actions]) => `${showKey(key)} is used by: ${actions.map((action) => action.title).join("; ")}.`,
    );
    status.textContent = texts.join(" ");
    status.classList.toggle("problem-text", texts.length > 0);
    const changed = JSON.stringify(draft.changed) !== JSON.stringify(app.shortcuts.changed);
    save.disabled = conflicts.size > 0 || !changed;
    reset.disabled = Object.keys(draft.changed).length === 0;
  }

  /** @param {Action} action @param {Map<string, Action[]>} conflicts */
  function row(action, conflicts) {
    const keys = draft.keysOf(action.id);
    const inConflict = keys.some((key) => conflicts.has(key));
    const shown = action.fixed
      ? [h("kbd", {}, "1"), " to ", h("kbd", {}, "9")]
      : keys.flatMap((key) => [h("kbd", {}, showKey(key)), " "]);
    const change = button({
      icon: "edit",
      label: `Change the key of: ${action.title}`,
      onclick: () => record(action, element, shownKeys),
    });
    const shownKeys = h("span", {}, shown.length ? shown : span("muted", "none"));
    const restore = button({
      icon: "undo",
      label: `Default key of: ${action.title}`,
      onclick: () => {
        draft = draft.without(action.id);
        draw();
      },
    });
    restore.hidden = !(action.id in draft.changed);
    change.style.visibility = action.fixed ? "hidden" : "";
    const element = h(
      "div",
      { class: inConflict ? "shortcut conflict" : "shortcut" },
      span("title", action.title),
      shownKeys,
      restore,
      change,
    );
    return element;
  }

  /** @param {Action} action @param {HTMLElement} element @param {HTMLElement} shownKeys */
  function record(action, element, shownKeys) {
    const field = h("input", {
      class: "field",
      readOnly: true,
      value: "Press a key",
      "aria-label": `New key of: ${action.title}. Escape keeps the old one, Backspace removes it.`,
    });
    field.style.width = "110px";
    shownKeys.replaceChildren(field);
    field.focus();
    const finish = (/** @type {string[] | null} */ keys) => {
      if (keys) draft = draft.with(action.id, keys);
      draw();
      const label = `Change the key of: ${action.title}`;
      /** @type {HTMLElement | null} */ (list.querySelector(`[aria-label="${label}"]`))?.focus();
    };
    field.addEventListener("keydown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const name = keyName(event);
      if (name === null) return;
      const isOnlyFor = (/** @type {string} */ key) => name === key && !draft.keysOf(action.id).includes(key);
      if (isOnlyFor("Escape")) finish(null);
      else if (isOnlyFor("Backspace")) finish([]);
      else if (refusal(name)) field.value = refusal(name) || "";
      else finish([name]);
    });
    field.addEventListener("blur", () => {
      if (field.isConnected && element.isConnected) draw();
    });
  }

  draw();
}

/** @param {string} title @param {HTMLElement[]} rows */
function part(title, rows) {
  return h("section", { class: "part" }, h("h3", {}, title), div("columns", rows));
}

/** @param {string} title @param {string[][]} rows each with a sign and its meaning */
function pairs(title, rows) {
  const pair = (/** @type {string[]} */ [sign, meaning]) =>
    div("shortcut", span("title", meaning), span("muted", sign));
  return rows.length > 0 && part(title, rows.map(pair));
}
