/** Import dialog: annotation files of the opened folders, and files that are dropped or chosen. */

import { button } from "../controls.js";
import { openDialog } from "../dialogs.js";
import { baseName, counted, div, fill, h, span } from "../dom.js";
import { sentence } from "../messages.js";

/** @import { App } from "../app.js" */

/** @param {App} app */
export async function openImport(app) {
  const { store } = app;
  const { medium, shown } = store;
  if (medium === null || !shown) {
    app.messages.notice("Open the image or video that the annotations are of.");
    return;
  }
  const files = div("choices", "Looking for annotation files…");
  const chosen = h("input", {
    type: "file",
    "aria-label": "Annotation file",
    onchange: async () => {
      const [file] = chosen.files || [];
      if (file && (await uploadAnnotations(app, medium, file))) dialog.close();
    },
  });
  const dialog = openDialog({
    title: `Import annotations of ${baseName(shown.path)}`,
    content: [
      h(
        "p",
        {},
        "Imported masks become objects that you can correct. COCO, YOLO, CVAT, labelme and mask images can be read.",
      ),
      h("h3", {}, "In the opened folders"),
      files,
      h("h3", {}, "From this computer"),
      h("p", { class: "muted" }, "Choose a file, or drop it on the window at any time."),
      chosen,
    ],
  });
  const reply = await app.server.send("list_annotations");
  const found = /** @type {string[]} */ (reply?.files || []);
  if (!found.length) {
    fill(files, span("muted", "There are none."));
    return;
  }
  fill(
    files,
    found.map((path) =>
      div(
        "row",
        span("spacer", path),
        button({
          text: "Import",
          label: `Import ${path}`,
          class: "outlined",
          onclick: async () => {
            const result = await app.server.send("import_annotations", { medium, path });
            if (!result) return;
            dialog.close();
            reportImported(app, result);
          },
        }),
      ),
    ),
  );
}

/** @param {App} app @param {number} medium @param {File} file @returns {Promise<boolean>} whether it was imported */
async function uploadAnnotations(app, medium, file) {
  try {
    const response = await fetch(`/imports/${medium}?name=${encodeURIComponent(file.name)}`, {
      method: "POST",
      body: file,
    });
    const result = await response.json();
    if (!response.ok) {
      app.messages.problem(
        sentence(result.detail || `The file cannot be imported (${result.code || response.status})`),
      );
      return false;
    }
    reportImported(app, result);
    return true;
  } catch {
    app.messages.problem("The file was not imported: the server is not connected.");
    return false;
  }
}

/** @param {App} app @param {{objects: number[]}} reply */
function reportImported(app, { objects }) {
  app.messages.notice(`${counted(objects.length, "object")} imported.`);
}

/** Import files that are dropped on the window. @param {App} app @param {HTMLElement} area in which the hint appears */
export function acceptDrops(app, area) {
  const hint = h("div", { class: "drop-hint", hidden: true }, "Drop an annotation file to import it");
  area.append(hint);
  let depth = 0;
  const isFile = (/** @type {DragEvent} */ event) => Boolean(event.dataTransfer?.types.includes("Files"));
  addEventListener("dragenter", (event) => {
    if (isFile(event)) hint.hidden = ++depth === 0;
  });
  addEventListener("dragleave", (event) => {
    if (isFile(event)) hint.hidden = --depth <= 0;
  });
  addEventListener("dragover", (event) => {
    if (isFile(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    depth = 0;
    hint.hidden = true;
    const [file] = event.dataTransfer?.files || [];
    const { medium } = app.store;
    if (!file || medium === null) return;
    if (/^(image|video)\//.test(file.type) && !/\.png$/i.test(file.name)) {
      app.messages.notice("Images and videos are opened where they are, with the command: masklet studio PATH.");
    } else uploadAnnotations(app, medium, file);
  });
}
