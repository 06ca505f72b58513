/** Page of masklet studio: creates the panels and connects to the server. */

import { App } from "./app.js";
import { showHints } from "./controls.js";
import { div, h, part } from "./dom.js";
import { listenToKeys } from "./keyboard.js";
import { Messages } from "./messages.js";
import { createClasses } from "./panels/classes.js";
import { openExport } from "./panels/export_dialog.js";
import { acceptDrops, openImport } from "./panels/import_dialog.js";
import { createMediaList } from "./panels/media_list.js";
import { createObjects } from "./panels/objects.js";
import { createProperties } from "./panels/properties.js";
import { openShortcuts } from "./panels/shortcuts_dialog.js";
import { openStatistics } from "./panels/statistics_dialog.js";
import { createStatusLine } from "./panels/status_line.js";
import { createToolOptions } from "./panels/tool_options.js";
import { createTopBar, togglePanel } from "./panels/top_bar.js";
import { createVideoPanel } from "./panels/video_panel.js";
import { startTheme } from "./theme.js";

function start() {
  startTheme();
  const container = div("view");
  part("canvas-area").append(container);
  const app = new App(container, new Messages(part("messages")));
  const open = {
    export: () => openExport(app),
    import: () => openImport(app),
    statistics: () => openStatistics(app),
    help: () => openShortcuts(app),
  };
  createTopBar(app, part("topbar"), open);
  const media = createMediaList(app, part("media-panel"));
  createToolOptions(app, part("side-panel"));
  const objects = createObjects(app, part("side-panel"));
  createProperties(app, part("side-panel"));
  createClasses(app, part("side-panel"));
  createVideoPanel(app, part("timeline-panel"));
  createStatusLine(app, part("status-line"));
  const veil = div("veil", h("p", { role: "status" }, "Connecting…"));
  part("canvas-area").append(veil);
  app.store.subscribe(["project", "media"], () => {
    veil.hidden = app.store.media.size > 0;
    if (!app.store.media.size) veil.replaceChildren(emptyCard());
  });
  acceptDrops(app, part("canvas-area"));
  listenToKeys(app, {
    "object.rename": () => objects.rename(app.store.object),
    "panel.media": () => togglePanel("no-media"),
    search: () => {
      part("studio").classList.remove("no-media");
      media.focusSearch();
    },
    export: open.export,
    help: open.help,
  });
  showHints(document, app.shortcuts);
  app.server.start();
}

function emptyCard() {
  return div(
    "card",
    h("h2", {}, "No images or videos"),
    h("p", {}, "Start the studio with what you want to open:"),
    h("p", {}, h("code", {}, "masklet studio FOLDER clip.mp4")),
  );
}

start();
