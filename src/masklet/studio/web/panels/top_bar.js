/** Top bar: project, undo, tools, zoom, and buttons for dialogs. */

import { TOOL_NAMES, actionName } from "../app.js";
import { button, iconButton, setLabel, setPressed, spacer } from "../controls.js";
import { append, div, h, rovingFocus, setText } from "../dom.js";
import { setTheme, storedTheme } from "../theme.js";

/** @import { App } from "../app.js" */
/** @import { Tool } from "../store.js" */

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

/**
 * @param {App} app
 * @param {HTMLElement} root
 * @param {Record<"export" | "import" | "statistics" | "help", () => void>} open dialogs
 */
export function createTopBar(app, root, open) {
  const { store } = app;
  const project = h("h1", { class: "project" });
  const undo = iconButton("undo", "Undo", "undo");
  const redo = iconButton("redo", "Redo", "redo");
  const tools = new Map(
    /** @type {Tool[]} */ (Object.keys(TOOL_NAMES)).map((tool) => [
      tool,
      button({
        icon: tool === "prompt" ? "point" : tool,
        label: TOOL_NAMES[tool],
        action: `tool.${tool}`,
        pressed: false,
      }),
    ]),
  );
  const toolbar = h("div", { class: "group", role: "toolbar", "aria-label": "Tools" }, ...tools.values());
  rovingFocus(toolbar, "button", { horizontal: true });
  const zoom = button({ text: "100 %", label: "Zoom: show at 100 %", action: "zoom.full", class: "zoom" });
  const zoomText = /** @type {HTMLElement} */ (zoom.querySelector("span"));
  const theme = button({ icon: "theme", label: "Theme", onclick: () => switchTheme() });

  append(
    root,
    div("group", iconButton("menu", "Images and videos", "panel.media"), project),
    div("group", undo, redo),
    toolbar,
    div(
      "group",
      iconButton("minus", "Zoom out", "zoom.out"),
      zoom,
      iconButton("add", "Zoom in", "zoom.in"),
      iconButton("fit", "Fit to the canvas", "zoom.fit"),
    ),
    spacer(),
    div(
      "group",
      button({ icon: "import", text: "Import", label: "Import annotations", onclick: open.import }),
      button({ icon: "export", text: "Export", action: "export", class: "outlined" }),
    ),
    div(
      "group",
      button({ icon: "statistics", label: "Statistics", onclick: open.statistics }),
      theme,
      iconButton("help", "Shortcuts", "help"),
      button({ icon: "panel", label: "Objects and classes", onclick: () => togglePanel("no-side") }),
    ),
  );

  function switchTheme() {
    setTheme(THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length]);
    showTheme();
    app.messages.announce(`Theme: ${storedTheme()}.`);
  }

  function showTheme() {
    setLabel(theme, `Theme: ${storedTheme() === "system" ? "as the system" : storedTheme()}`, app.shortcuts);
  }

  showTheme();
  app.view.on("zoom", ({ zoom: value }) => {
    const percent = `${Math.round(value * 100)} %`;
    setText(zoomText, percent);
    setLabel(zoom, `Zoom: ${percent}; show at 100 %`, app.shortcuts);
  });
  store.subscribe(["project", "undo"], () => {
    setText(project, store.project || "Project");
    project.title = store.project;
    undo.disabled = store.undo === null;
    redo.disabled = store.redo === null;
    setLabel(undo, store.undo ? `Undo: ${actionName(store.undo)}` : "Undo", app.shortcuts);
    setLabel(redo, store.redo ? `Redo: ${actionName(store.redo)}` : "Redo", app.shortcuts);
  });
  const showTool = () => {
    for (const [tool, element] of tools) {
      setPressed(element, tool === store.tool);
      element.tabIndex = tool === store.tool ? 0 : -1;
    }
  };
  store.subscribe(["tool"], showTool);
  showTool();
}

/** @param {"no-media" | "no-side"} name */
export function togglePanel(name) {
  document.getElementById("studio")?.classList.toggle(name);
}
