/** Media list: images and videos with thumbnails, search and checked marks. Only visible rows are elements. */

import { button, checkbox, iconButton, setLabel, spacer } from "../controls.js";
import { append, baseName, counted, div, fill, h, setText, span, updateList } from "../dom.js";
import { icon } from "../icons.js";

/** @import { App } from "../app.js" */
/** @import { Medium } from "../store.js" */

const ROW_PX = 56;
const MARGIN_ROWS = 4;

/** @param {App} app @param {HTMLElement} root */
export function createMediaList(app, root) {
  const { store } = app;
  const search = h("input", {
    class: "field",
    type: "search",
    placeholder: "Search",
    "aria-label": "Search images and videos",
    title: "Search names, classes and attributes",
    oninput: () => refilter(),
  });
  const unchecked = checkbox({ label: "Unchecked only", onchange: () => refilter() });
  const cameras = div("cameras");
  const content = h("div", { role: "presentation" });
  const list = h("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": "Images and videos" }, content);
  const status = h("span", { role: "status" });
  const check = iconButton("check", "Mark as checked", "check");
  append(
    root,
    div("tools", search, div("row", unchecked.row, spacer(), check)),
    cameras,
    list,
    div(
      "foot",
      status,
      spacer(),
      iconButton("previous", "Previous unchecked", "unchecked.previous"),
      iconButton("next", "Next unchecked", "unchecked.next"),
      button({ icon: "retrack", label: "Look for new files in the opened folders", onclick: () => rescan() }),
    ),
  );

  /** @type {number[]} */
  let ids = [];

  function refilter() {
    ids = store.mediaList({ search: search.value, unchecked: unchecked.input.checked });
    content.style.height = `${ids.length * ROW_PX}px`;
    const checked = [...store.media.values()].filter((medium) => medium.checked).length;
    const shown = ids.length === store.media.size ? "" : `${ids.length} shown · `;
    setText(status, `${shown}${checked}/${store.media.size} checked`);
    drawRows();
  }

  function drawRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - MARGIN_ROWS);
    const count = Math.ceil((list.clientHeight || 600) / ROW_PX) + 2 * MARGIN_ROWS;
    updateList(content, ids.slice(first, first + count), String, createRow, updateRow);
    const selected = store.medium !== null && content.querySelector(`#medium-${store.medium}`);
    if (selected) list.setAttribute("aria-activedescendant", selected.id);
    else list.removeAttribute("aria-activedescendant");
  }

  /** @param {number} id */
  function createRow(id) {
    return h(
      "div",
      { class: "item", role: "option", id: `medium-${id}`, onclick: () => app.navigation.open(id) },
      h("img", { class: "thumb", alt: "", loading: "lazy", decoding: "async", src: `/frames/${id}/0?width=128` }),
      div("texts", span("name"), span("note")),
      span("mark"),
    );
  }

  /** @param {HTMLElement} row @param {number} id */
  function updateRow(row, id) {
    const medium = /** @type {Medium} */ (store.media.get(id));
    const position = ids.indexOf(id);
    row.style.top = `${position * ROW_PX}px`;
    row.classList.toggle("selected", id === store.medium);
    row.setAttribute("aria-selected", String(id === store.medium));
    row.setAttribute("aria-posinset", String(position + 1));
    row.setAttribute("aria-setsize", String(ids.length));
    row.title = medium.path;
    const [name, note] = /** @type {HTMLElement[]} */ ([...row.querySelectorAll(".name, .note")]);
    setText(name, baseName(medium.path));
    const objects = store.objects.get(id)?.size || 0;
    const kind = medium.kind === "video" ? counted(medium.frames, "frame") : `${medium.size[1]} × ${medium.size[0]}`;
    setText(note, objects ? `${kind} · ${counted(objects, "object")}` : kind);
    const mark = /** @type {HTMLElement} */ (row.querySelector(".mark"));
    if (medium.checked !== mark.hasChildNodes()) {
      mark.replaceChildren();
      if (medium.checked) mark.append(icon("check"), span("visually-hidden", "checked"));
    }
  }

  function revealSelected() {
    const position = store.medium === null ? -1 : ids.indexOf(store.medium);
    if (position < 0) return;
    const top = position * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PX - list.clientHeight;
  }

  async function rescan() {
    const reply = await app.server.send("rescan");
    if (reply)
      app.messages.notice(
        reply.added.length ? `${counted(reply.added.length, "file")} added.` : "There are no new files.",
      );
  }

  function drawCameras() {
    const links = store.cameras.map(({ name, url }) => h("a", { href: url, target: "_blank" }, icon("video"), name));
    fill(cameras, links);
  }

  list.addEventListener("scroll", drawRows, { passive: true });
  new ResizeObserver(() => {
    revealSelected();
    drawRows();
  }).observe(list);
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8 }[event.key];
    if (!step || !ids.length) return;
    event.preventDefault();
    event.stopPropagation();
    const at = store.medium === null ? -1 : ids.indexOf(store.medium);
    app.navigation.open(ids[Math.max(0, Math.min(ids.length - 1, at + step))]);
  });
  let lastMedium = /** @type {number | null} */ (null);
  store.subscribe(["media", "objects", "place"], (topics) => {
    if (topics.has("media") || topics.has("objects")) refilter();
    if (store.medium !== lastMedium) {
      lastMedium = store.medium;
      revealSelected();
      drawRows();
    }
    check.disabled = store.shown === null;
    setLabel(check, store.shown?.checked ? "Mark as unchecked" : "Mark as checked", app.shortcuts);
    check.setAttribute("aria-pressed", String(Boolean(store.shown?.checked)));
  });
  store.subscribe(["project"], drawCameras);
  return { focusSearch: () => search.focus() };
}
