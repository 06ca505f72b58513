/** Export dialog: annotation formats and effects of chosen images and videos. */

import { button, newId } from "../controls.js";
import { openDialog } from "../dialogs.js";
import { baseName, counted, div, h } from "../dom.js";
import { problemText } from "../messages.js";

/** @import { App } from "../app.js" */

/** @type {Record<string, string>} */
const TITLES = {
  coco: "COCO",
  ytvis: "YouTube-VIS",
  mots: "MOTS",
  sav: "SA-V",
  yolo: "YOLO",
  cvat: "CVAT",
  labelme: "LabelMe",
  png: "Mask images (PNG)",
  npz: "NumPy (npz)",
  csv: "Measurements (CSV)",
  overlay: "Overlay",
  cutout: "Cut-out",
  prores: "Cut-out for editors (ProRes)",
  blur: "Blurred background",
  blur_objects: "Blurred objects",
  spotlight: "Spotlight",
  background: "Replaced background",
};

/** @param {App} app */
export function openExport(app) {
  const { store } = app;
  const scope = newId();
  const current = store.medium;
  const annotated = store.mediaList().filter((id) => store.objects.get(id)?.size);
  const checkedOnes = store.mediaList().filter((id) => store.media.get(id)?.checked);
  const scopes = [
    {
      text: store.shown ? `This one: ${baseName(store.shown.path)}` : "This one",
      media: current === null ? [] : [current],
    },
    { text: `All with objects (${annotated.length})`, media: annotated },
    { text: `All that are checked (${checkedOnes.length})`, media: checkedOnes },
  ];
  const radios = scopes.map((entry, index) =>
    h(
      "label",
      { class: "check" },
      h("input", {
        type: "radio",
        name: scope,
        checked: index === (annotated.length > 1 ? 1 : 0),
        disabled: !entry.media.length,
        onchange: () => draw(),
      }),
      entry.text,
    ),
  );
  const formats = choices(store.formats, "coco");
  const effects = choices(store.effects, "");
  const progress = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Export" });
  const status = h("div", { class: "status", role: "status" });
  const start = button({ text: "Export", class: "primary", onclick: () => run() });
  /** @type {any} */
  let running = null;
  const dialog = openDialog({
    title: "Export",
    size: "wide",
    content: [
      box("Images and videos", radios),
      box("Annotations", div("columns", formats.rows)),
      effects.rows.length > 0 && box("Images and videos with an effect", div("columns", effects.rows)),
      progress,
    ],
    footer: [status, button({ text: "Close", class: "outlined", onclick: () => dialog.close() }), start],
    onclose: app.server.on("export", receive),
  });

  /** @param {string[]} entries @param {string} chosen */
  function choices(entries, chosen) {
    const inputs = entries.map((name) => {
      const input = h("input", { type: "checkbox", value: name, checked: name === chosen, onchange: () => draw() });
      return { input, row: h("label", { class: "check" }, input, h("span", {}, TITLES[name] || name)) };
    });
    return {
      rows: inputs.map(({ row }) => row),
      chosen: () => inputs.filter(({ input }) => input.checked).map(({ input }) => input.value),
    };
  }

  function chosenMedia() {
    const at = radios.findIndex((row) => /** @type {HTMLInputElement} */ (row.querySelector("input")).checked);
    return scopes[at]?.media || [];
  }

  function draw() {
    start.disabled = running !== null || !chosenMedia().length || !(formats.chosen().length || effects.chosen().length);
  }

  async function run() {
    status.textContent = "";
    progress.hidden = false;
    progress.removeAttribute("value");
    running = "starting";
    draw();
    const fields = { media: chosenMedia(), formats: formats.chosen(), effects: effects.chosen() };
    try {
      const reply = await app.server.request("export", fields);
      if (running === "starting") running = reply.export;
    } catch (problem) {
      end(String(/** @type {Error} */ (problem).message), true);
    }
  }

  /** @param {Record<string, any>} event */
  function receive(event) {
    if (running === null || (running !== "starting" && event.export !== running)) return;
    running = event.export;
    progress.max = event.total || 1;
    progress.value = event.done || 0;
    if (event.state === "failed") end(problemText(event.problem, "The export failed."), true);
    else if (event.state === "finished") finish(event);
    else status.textContent = `${event.done || 0} of ${counted(event.total || 0, "step")}`;
  }

  /** @param {Record<string, any>} event */
  function finish(event) {
    end("", false);
    status.replaceChildren(h("p", {}, "Exported to ", h("code", {}, event.path || ""), " "));
    if (event.url) status.append(h("a", { href: event.url, download: "" }, "Download as zip"));
    app.messages.announce("The export is finished.");
  }

  /** @param {string} text @param {boolean} failed */
  function end(text, failed) {
    running = null;
    progress.hidden = true;
    status.textContent = text;
    status.classList.toggle("problem-text", failed);
    draw();
  }

  draw();
}

/** @param {string} title @param {HTMLElement | HTMLElement[]} content */
function box(title, content) {
  return h("fieldset", { class: "box" }, h("legend", {}, h("h3", {}, title)), content);
}
