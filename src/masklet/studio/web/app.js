/** Application: creates the parts of the studio, and connects them with the store, the server and the view. */

import { ClassChanges } from "./class_changes.js";
import { Corrections } from "./corrections.js";
import { HoverPreview } from "./hover_preview.js";
import { ImageView } from "./image_view.js";
import { MaskDisplay } from "./mask_display.js";
import { Navigation } from "./navigation.js";
import { ObjectChanges } from "./object_changes.js";
import { PolygonSession } from "./polygon_session.js";
import { PromptEditor } from "./prompt_editor.js";
import { Proposals } from "./proposals.js";
import { Review } from "./review.js";
import { Server } from "./server.js";
import { loadShortcuts } from "./shortcuts.js";
import { Store } from "./store.js";
import { Tracking } from "./tracking.js";

/** @import { Tool } from "./store.js" */

export class App {
  /** @param {HTMLElement} container of the image view @param {import("./messages.js").Messages} messages */
  constructor(container, messages) {
    const store = new Store();
    const server = new Server(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`, messages);
    const editor = new PromptEditor(store, server);
    const tracking = new Tracking(store, server, () => editor.settle(), messages);
    const view = new ImageView(container, this.drawingActions());
    this.messages = messages;
    this.store = store;
    this.server = server;
    this.editor = editor;
    this.tracking = tracking;
    this.view = view;
    this.shortcuts = loadShortcuts();
    this.navigation = new Navigation(store, server, view, tracking, messages);
    this.display = new MaskDisplay(store, view, editor);
    this.preview = new HoverPreview(store, server, view, editor, this.navigation.playback);
    this.polygons = new PolygonSession(store, view, server);
    this.proposals = new Proposals(store, view, server);
    this.objects = new ObjectChanges(store, server, messages, (action) => this.shortcuts.hint(action));
    this.classes = new ClassChanges(store, server, editor, this.objects, messages);
    this.review = new Review(store, server, editor, tracking, this.navigation, messages);
    const { navigation, display, preview, objects } = this;
    const parts = { store, server, editor, tracking, navigation, display, preview, objects, messages };
    this.corrections = new Corrections(parts);
    this.opacity = Number(localStorage.getItem("masklet.opacity") || 0.5);
    view.viewport.setOpacity(this.opacity);
    view.on("problem", ({ detail }) => messages.problem(detail));
    this.listenToServer();
    store.subscribe(["tool"], () => view.setTool(store.tool));
    store.subscribe(["selection", "masks", "tool", "place"], () => this.polygons.update());
    store.subscribe(["tool", "place"], () => this.proposals.update());
    store.subscribe(["media"], () => this.navigation.showFirst());
    store.subscribe(["selection"], () => {
      if (store.object !== null) editor.finished = null;
    });
  }

  listenToServer() {
    const { server, store } = this;
    server.on("changes", (event) => store.apply(event));
    server.on("progress", (event) => this.tracking.receive(event));
    server.on("lanes", ({ header, payload }) => store.setLanes(header, payload));
    server.on("masks", ({ header: { medium, frame, seq, size }, masks }) => {
      if (medium === store.medium && frame === store.frame) store.setMasks({ medium, frame, seq, size, masks });
    });
    server.on("proposals", ({ header, masks }) => this.proposals.receive(header, masks));
    server.on("state", ({ state }) => {
      if (state === "open") this.loadProject();
      else {
        this.view.setEnabled(false);
        this.navigation.playback.pause();
      }
    });
  }

  async loadProject() {
    const { server, store, navigation } = this;
    store.expect();
    const hello = await server.send("hello");
    if (!hello) return;
    const reconnected = store.loaded;
    server.closing = false;
    this.editor.reset();
    store.load(hello);
    this.tracking.load(hello.runs);
    this.view.setEnabled(true);
    if (store.medium === null) navigation.showFirst();
    else navigation.display(store.frame);
    if (reconnected) this.messages.notice("Connected again.");
    document.title = `${store.project || "Project"} – masklet studio`;
    server.emit("status");
  }

  /** @returns {import("./tools/actions.js").Actions} */
  drawingActions() {
    const edit = (/** @type {() => Promise<void>} */ change) => this.corrections.correct(change);
    return {
      click: (x, y, positive) => edit(() => this.editor.addPoint(x, y, positive)),
      box: (x0, y0, x1, y1, add) => edit(() => this.editor.setBox([x0, y0, x1, y1], add)),
      deleteBox: () => edit(() => this.editor.removeBox()),
      movePoint: (index, x, y) => edit(() => this.editor.movePoint(index, x, y)),
      deletePoint: (index) => edit(() => this.editor.removePoint(index)),
      hover: (x, y) => this.preview.request(x, y),
      hoverEnd: () => this.preview.end(),
      paint: (runs, size) => this.corrections.paint(runs, size),
      setPolygons: (polygons) => edit(() => this.polygons.set(polygons)),
      pick: (object) => this.store.select(object),
      takeProposal: (index) => this.proposals.take([index]),
    };
  }

  /** Cancel the plan to recompute, else deselect the object, else the range, else return to prompts. */
  cancel() {
    if (this.tracking.plan) this.tracking.dismiss();
    else if (this.store.object !== null) this.store.select(null);
    else if (this.store.range) this.store.setRange(null);
    else if (this.store.tool !== "prompt") this.store.setTool("prompt");
  }

  /** @param {"undo" | "redo"} command */
  async undo(command) {
    const reply = await this.server.send(command);
    if (!reply) return;
    this.tracking.dismiss();
    if (!reply.action) this.messages.notice(`There is nothing to ${command}.`);
    else this.messages.note(`${command === "undo" ? "Undone" : "Redone"}: ${actionName(reply.action)}.`);
  }

  /** @param {Tool} tool */
  useTool(tool) {
    this.store.setTool(tool);
    this.messages.announce(`Tool: ${TOOL_NAMES[tool]}.`);
  }

  /** @param {number} opacity */
  setOpacity(opacity) {
    this.opacity = opacity;
    localStorage.setItem("masklet.opacity", String(opacity));
    this.view.viewport.setOpacity(opacity);
  }
}

/** @type {Record<Tool, string>} */
export const TOOL_NAMES = {
  select: "Select objects",
  prompt: "Points and boxes",
  brush: "Brush",
  eraser: "Eraser",
  polygon: "Polygon",
  proposals: "Proposals",
};

/** @param {string} action of the log, such as "mark_absent" @returns {string} in words */
export function actionName(action) {
  return action.replaceAll("_", " ");
}
