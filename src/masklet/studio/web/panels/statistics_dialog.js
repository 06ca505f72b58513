/** Statistics dialog: objects per class, checked media, tracked and accepted frames per video. */

import { openDialog } from "../dialogs.js";
import { baseName, h, span } from "../dom.js";
import { countCells } from "../lane_colors.js";

/** @import { App } from "../app.js" */
/** @import { Medium, Store } from "../store.js" */

/**
 * @param {Store} store
 * @returns {{name: string, color: string | null, objects: number, media: number}[]} per class, most frequent first
 */
function countClasses(store) {
  /** @type {Map<number | null, {objects: number, media: Set<number>}>} */
  const counts = new Map();
  for (const id of store.classes.keys()) counts.set(id, { objects: 0, media: new Set() });
  for (const [medium, objects] of store.objects) {
    for (const object of objects.values()) {
      const count = counts.get(object.class) || { objects: 0, media: new Set() };
      count.objects++;
      count.media.add(medium);
      counts.set(object.class, count);
    }
  }
  return [...counts]
    .map(([id, { objects, media }]) => {
      const entry = id === null ? undefined : store.classes.get(id);
      return { name: entry?.name || "no class", color: entry?.color || null, objects, media: media.size };
    })
    .sort((a, b) => b.objects - a.objects);
}

/** @param {App} app */
export async function openStatistics(app) {
  const { store } = app;
  await loadLanes(app);
  const media = [...store.media.values()];
  const checked = media.filter((medium) => medium.checked).length;
  const images = media.filter((medium) => medium.kind === "image").length;
  const withObjects = [...store.objects.values()].filter((objects) => objects.size).length;
  const classes = countClasses(store);
  const most = Math.max(1, ...classes.map((count) => count.objects));
  const videos = [...store.media].filter(([, medium]) => medium.kind === "video");
  openDialog({
    title: "Statistics",
    size: "wide",
    content: [
      table(
        [],
        [
          fact("Images", images),
          fact("Videos", videos.length),
          fact("Checked", `${checked} of ${media.length}`),
          fact("With objects", withObjects),
        ],
      ),
      h("h3", {}, "Objects per class"),
      classes.length
        ? table(
            ["Class", "Objects", "Images and videos", ""],
            classes.map((count) => classRow(count, most)),
          )
        : h("p", { class: "muted" }, "There are no objects."),
      videos.length > 0 && h("h3", {}, "Videos"),
      videos.length > 0 && videoTable(store, videos),
    ],
  });
}

/** Load the lanes of videos with objects that were not opened in this window. @param {App} app */
async function loadLanes(app) {
  for (const [id, medium] of app.store.media) {
    const missing = medium.kind === "video" && app.store.objects.get(id)?.size && !app.store.lanes.has(id);
    if (missing && !(await app.server.send("get_lanes", { medium: id }))) return;
  }
}

/** @param {string} name @param {string | number} value */
function fact(name, value) {
  return h("tr", {}, h("th", { scope: "row" }, name), number(value));
}

/** @param {{name: string, color: string | null, objects: number, media: number}} count @param {number} most */
function classRow(count, most) {
  const fill = h("div", {});
  fill.style.width = `${(100 * count.objects) / most}%`;
  const swatch = span("swatch");
  swatch.style.display = "inline-block";
  swatch.style.backgroundColor = count.color || "transparent";
  return h(
    "tr",
    {},
    h("td", {}, swatch, " ", count.name),
    number(count.objects),
    number(count.media),
    h("td", {}, h("div", { class: "bar", "aria-hidden": "true" }, fill)),
  );
}

/** @param {Store} store @param {[number, Medium][]} videos */
function videoTable(store, videos) {
  const rows = videos.map(([id, medium]) => {
    const lanes = store.lanes.get(id);
    const counts = lanes && countCells(lanes.cells.values());
    const cells = counts ? [counts.annotated, counts.tracked, counts.low, counts.accepted] : ["–", "–", "–", "–"];
    const values = [medium.frames, store.objects.get(id)?.size || 0, ...cells];
    return h("tr", {}, h("td", {}, baseName(medium.path)), ...values.map(number));
  });
  return h(
    "div",
    {},
    table(["Video", "Frames", "Objects", "Annotated", "Tracked", "Low score", "Accepted"], rows),
    h("p", { class: "muted" }, "The last four columns count masks: frames times objects."),
  );
}

/** @param {string[]} heads of the columns; all but the first are of numbers @param {HTMLElement[]} rows */
function table(heads, rows) {
  const cells = heads.map((head, column) => h(head ? "th" : "td", { class: column ? "number" : "" }, head));
  return h("table", {}, heads.length > 0 && h("thead", {}, h("tr", {}, cells)), h("tbody", {}, rows));
}

/** @param {string | number} value */
function number(value) {
  return h("td", { class: "number" }, String(value));
}
