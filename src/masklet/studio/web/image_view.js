/** Image view: the drawing area of the page. It joins the viewport, the overlay, the tools and the frames. */

import { BrushCursor, limitSize, stepSize } from "./brush.js";
import { Emitter } from "./emitter.js";
import { FrameLoader, keyOf } from "./frames.js";
import { KeyboardCursor } from "./keyboard_cursor.js";
import { resizeRuns } from "./label_map.js";
import { OverlayCanvas } from "./overlay_canvas.js";
import { PolygonEditor } from "./polygon_editor.js";
import { PromptOverlay } from "./prompt_overlay.js";
import { countPixels } from "./rle.js";
import { Sharpener } from "./sharpener.js";
import { BrushTool } from "./tools/brush_tool.js";
import { PolygonTool } from "./tools/polygon_tool.js";
import { PromptTool } from "./tools/prompt_tool.js";
import { SelectTool } from "./tools/select_tool.js";
import { ToolController } from "./tools/tool_controller.js";
import { Viewport } from "./viewport.js";

/** @import { LoadedFrame } from "./frames.js" */
/** @import { Prompt } from "./prompt_overlay.js" */
/** @import { Size } from "./rle.js" */
/** @import { Actions, Polygon } from "./tools/actions.js" */
/** @import { ObjectMask } from "./viewport.js" */

/** @typedef {{runs: Uint32Array, score: number}} Proposal */

/** @typedef {"select" | "prompt" | "brush" | "eraser" | "polygon" | "proposals"} ToolName */

/** A frame to show. `size` is that of the original. @typedef {{medium: number, frame: number, size: Size, frames: number}} Shown */

const MASK_WAIT_MS = 60; // for the masks of a frame that is there already
const MAX_WAITING = 8; // frames whose masks have arrived before they are displayed
const GOLDEN_ANGLE = 137.508; // degrees of hue between two proposals

/**
 * It emits `zoom` {zoom}, `cursor` {x, y} or {x: null, y: null} outside the image, `brush` {size}, `frame` {medium, frame}
 * when a frame is displayed, `problem` {detail}, `keyboard` {on}.
 */
export class ImageView extends Emitter {
  /** @param {HTMLElement} container that the view fills @param {Actions} actions */
  constructor(container, actions) {
    super();
    const viewport = new Viewport(container);
    this.viewport = viewport;
    this._loader = new FrameLoader({ maxSide: viewport.maxSide });
    this._sharpener = new Sharpener(viewport, this._loader);
    this._prompts = new PromptOverlay();
    this._polygons = new PolygonEditor();
    this._brush = new BrushCursor();
    const report = (/** @type {string} */ detail) => this.emit("problem", { detail });
    const workspace = { viewport, actions, prompts: this._prompts, polygons: this._polygons, brush: this._brush, report };
    /** @type {Record<ToolName, import("./tools/tool.js").Tool>} */
    this._tools = {
      prompt: new PromptTool(workspace),
      select: new SelectTool(workspace),
      brush: new BrushTool(workspace, true),
      eraser: new BrushTool(workspace, false),
      polygon: new PolygonTool(workspace),
      proposals: new SelectTool(workspace),
    };
    /** @type {ToolName} */
    this._tool = "prompt";
    this._controller = new ToolController(viewport, this._tools.prompt, this._brush, {
      onMove: (position) => this.emit("cursor", position),
      onSize: (size) => this.emit("brush", { size }),
    });
    this._keyboard = new KeyboardCursor(viewport, this._controller, actions);
    new OverlayCanvas(viewport, [this._polygons, this._prompts, this._brush, this._keyboard]);
    /** @type {{medium: number, frame: number} | null} */
    this._displayed = null;
    /** Masks of frames that are not displayed yet, by frame. @type {Map<string, {size: Size, masks: ObjectMask[]}>} */
    this._waiting = new Map();
    /** @type {Map<string, () => void>} */
    this._arrivals = new Map();
    /** @type {{size: Size, masks: ObjectMask[]}} */
    this._masks = { size: [1, 1], masks: [] };
    /** @type {{size: Size | null, proposals: Proposal[]}} */
    this._proposals = { size: null, proposals: [] };
    this._turn = 0;
    this._newest = 0;
    viewport.on("zoom", (detail) => this.emit("zoom", detail));
  }

  /**
   * Load a frame and display it. What is displayed stays until the frame is there; of several calls the last one wins.
   *
   * @param {Shown} shown
   * @returns {Promise<boolean>} False if a later call replaced this one. Rejects where the frame cannot be loaded.
   */
  async show(shown) {
    const turn = ++this._turn;
    const here = this._displayed;
    if (here?.medium !== shown.medium || here.frame !== shown.frame) this._controller.cancel();
    const { canvas } = this.viewport;
    canvas.setAttribute("aria-busy", "true");
    try {
      const loaded = await this._loader.show(shown);
      if (!loaded) return false;
      await this._waitForMasks(loaded);
      if (this._newest > turn) return false;
      this._newest = turn;
      this._display(loaded);
      const label = shown.frames > 1 ? `Frame ${shown.frame}, last frame ${shown.frames - 1}` : "Image";
      canvas.setAttribute("aria-label", label);
      return true;
    } finally {
      if (turn === this._turn) canvas.setAttribute("aria-busy", "false");
    }
  }

  get displayed() {
    return this._displayed;
  }

  /** @param {Shown[]} frames that are likely to be shown next, such as neighboring images */
  prefetch(frames) {
    this._loader.prefetch(frames);
  }

  /**
   * Set the masks of a frame. Masks of a frame that is being loaded appear with it.
   *
   * @param {{medium: number, frame: number, size: Size}} of `size` is that of the masks.
   * @param {ObjectMask[]} masks
   */
  setMasks({ medium, frame, size }, masks) {
    const here = this._displayed;
    if (here?.medium === medium && here.frame === frame) {
      this._masks = { size, masks };
      this._compose();
      return;
    }
    const key = keyOf({ medium, frame });
    this._waiting.delete(key);
    this._waiting.set(key, { size, masks });
    for (const oldest of this._waiting.keys()) {
      if (this._waiting.size <= MAX_WAITING) break;
      this._waiting.delete(oldest);
    }
    this._arrivals.get(key)?.();
  }

  /** @param {Prompt} prompt */
  setPrompt(prompt) {
    this._prompts.setPrompt(prompt);
    this.viewport.requestDraw();
  }

  /** @param {Proposal[]} proposals that the tool `proposals` shows @param {Size} [size] */
  setProposals(proposals, size) {
    this._proposals = { size: size ?? null, proposals };
    if (this._tool === "proposals") this._compose();
  }

  /** @param {Polygon[]} polygons of the active object, which the tool `polygon` changes */
  setPolygons(polygons) {
    this._polygons.setPolygons(polygons);
    this.viewport.requestDraw();
  }

  /** Cancel what was begun, and change the tool. @param {ToolName} tool */
  setTool(tool) {
    if (tool === this._tool) return;
    const before = this._tool;
    this._tool = tool;
    this._controller.setTool(this._tools[tool]);
    if (tool === "proposals" || before === "proposals") this._compose();
    this.viewport.requestDraw();
  }

  /** Diameter of the brush in pixels of the image. */
  get brushSize() {
    return this._brush.size;
  }

  set brushSize(pixels) {
    this._brush.size = limitSize(pixels);
    this.viewport.requestDraw();
    this.emit("brush", { size: this._brush.size });
  }

  /** @param {number} steps of 15 % */
  stepBrushSize(steps) {
    this.brushSize = stepSize(this._brush.size, steps);
  }

  /** @param {boolean} enabled Whether tools work; pan and zoom always do. */
  setEnabled(enabled) {
    this._controller.setEnabled(enabled);
  }

  /** Zoom at the center of the view, or at the keyboard cursor. @param {number} factor */
  zoomBy(factor) {
    if (!this._keyboard.isOn) {
      this.viewport.zoomBy(factor);
      return;
    }
    const { left, top } = this.viewport.canvas.getBoundingClientRect();
    const [x, y] = this.viewport.toView(this._keyboard.x, this._keyboard.y);
    this.viewport.zoomAt(left + x, top + y, factor);
  }

  /** @param {KeyboardEvent} event @returns {boolean} Whether the key was used; then shortcuts ignore it. */
  handleKey(event) {
    const { _controller: controller, _keyboard: keyboard } = this;
    if (event.key !== "Escape") return controller.tool.handleKey(event) || keyboard.handleKey(event);
    const wasOn = keyboard.isOn;
    const isUsed = keyboard.handleKey(event) || controller.cancel();
    if (wasOn && !keyboard.isOn) this.emit("keyboard", { on: false });
    return isUsed;
  }

  /** @returns {boolean} Whether it is on now. */
  toggleKeyboardCursor() {
    const on = this._keyboard.toggle();
    if (on) this.focus();
    this.emit("keyboard", { on });
    return on;
  }

  /** Whether Space was used to pan since it went down; then its shortcut does not act. */
  get spacePanned() {
    return this._controller.spacePanned;
  }

  focus() {
    this.viewport.canvas.focus({ preventScroll: true });
  }

  /** @param {LoadedFrame} loaded */
  _display({ medium, frame, size, bitmap }) {
    const key = keyOf({ medium, frame });
    const here = this._displayed;
    const isNew = here?.medium !== medium || here.frame !== frame;
    this._displayed = { medium, frame };
    this.viewport.setImage(bitmap, size);
    this._sharpener.setFrame({ medium, frame, size }, bitmap.width);
    if (isNew) {
      this._masks = this._waiting.get(key) ?? { size, masks: [] };
      this._waiting.delete(key);
      this.viewport.setPreview(null);
      this._compose();
    }
    this.emit("frame", { medium, frame });
  }

  /** Wait for the masks of a frame, so that both appear together. @param {LoadedFrame} loaded */
  async _waitForMasks({ medium, frame }) {
    const key = keyOf({ medium, frame });
    const here = this._displayed;
    if (this._waiting.has(key) || (here?.medium === medium && here.frame === frame)) return;
    await new Promise((resolve) => {
      this._arrivals.set(key, () => resolve(null));
      setTimeout(resolve, MASK_WAIT_MS);
    });
    this._arrivals.delete(key);
  }

  _compose() {
    const { size, masks } = this._masks;
    const { proposals, size: proposalSize } = this._proposals;
    if (this._tool !== "proposals" || !proposalSize) {
      this.viewport.setMasks(masks, size);
      return;
    }
    const drawn = proposals.map(({ runs }, index) => ({
      object: -index - 1,
      runs: masks.length ? resizeRuns(runs, proposalSize, size) : runs,
      color: hueColor(index * GOLDEN_ANGLE),
    }));
    drawn.sort((a, b) => countPixels(b.runs) - countPixels(a.runs)); // small ones over large ones
    this.viewport.setMasks([...masks, ...drawn], masks.length ? size : proposalSize);
  }
}

/** A saturated color. @param {number} hue Degrees. @returns {string} "#rrggbb" */
function hueColor(hue) {
  const channels = [0, 8, 4].map((offset) => {
    const position = (offset + hue / 30) % 12;
    return Math.round(255 * (0.55 - 0.4 * Math.max(-1, Math.min(position - 3, 9 - position, 1))));
  });
  return `#${channels.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}
