/** Live view: the drawing area of the live page. It displays the latest frame with its masks, and can be frozen. */

import { BrushCursor } from "./brush.js";
import { KeyboardCursor } from "./keyboard_cursor.js";
import { OverlayCanvas } from "./overlay_canvas.js";
import { PolygonEditor } from "./polygon_editor.js";
import { PromptOverlay } from "./prompt_overlay.js";
import { PromptTool } from "./tools/prompt_tool.js";
import { ToolController } from "./tools/tool_controller.js";
import { Viewport } from "./viewport.js";

/** @import { Prompt } from "./prompt_overlay.js" */
/** @import { Size } from "./rle.js" */
/** @typedef {{object: number, runs: Uint32Array, color: string, hidden: boolean}} LiveMask */

/** A frame as it arrives. `size` is that of the masks. @typedef {{number: number, size: Size, masks: LiveMask[], jpeg: Blob}} LiveFrame */

export class LiveView {
  /**
   * @param {HTMLElement} container
   * @param {Size} size of the camera's frames, whose pixels are the coordinates of prompts.
   * @param {import("./tools/actions.js").Actions} actions
   * @param {(number: number) => void} onFrame when it is displayed
   */
  constructor(container, size, actions, onFrame) {
    this._size = size;
    this._onFrame = onFrame;
    this.viewport = new Viewport(container);
    this._prompts = new PromptOverlay();
    const workspace = {
      viewport: this.viewport,
      actions,
      prompts: this._prompts,
      polygons: new PolygonEditor(),
      brush: new BrushCursor(),
      report: () => {},
    };
    const ignore = { onMove: () => {}, onSize: () => {} };
    this._controller = new ToolController(this.viewport, new PromptTool(workspace), workspace.brush, ignore);
    this._keyboard = new KeyboardCursor(this.viewport, this._controller, actions);
    new OverlayCanvas(this.viewport, [this._prompts, this._keyboard]);
    /** The frame that is displayed. @type {number | null} */
    this.number = null;
    /** @type {ImageBitmap | null} */
    this._bitmap = null;
    /** The latest frame that was not displayed. @type {LiveFrame | null} */
    this._next = null;
    this._decoding = false;
    this._frozen = false;
  }

  /** @param {LiveFrame} frame to display once the view is not frozen; it is skipped if the next one arrives earlier */
  receive(frame) {
    this._next = frame;
    this._displayNext();
  }

  freeze() {
    this._frozen = true;
  }

  unfreeze() {
    this._frozen = false;
    this._displayNext();
  }

  /** @param {number} number of the frame, which may have been replaced @param {LiveMask[]} masks @param {Size} size */
  setMasks(number, masks, size) {
    if (number === this.number) this.viewport.setMasks(masks, size);
  }

  /** @param {Prompt} prompt */
  setPrompt(prompt) {
    this._prompts.setPrompt(prompt);
    this.viewport.requestDraw();
  }

  /** @param {boolean} enabled */
  setEnabled(enabled) {
    this._controller.setEnabled(enabled);
  }

  /** @returns {boolean} Whether it is on now. */
  toggleKeyboardCursor() {
    const on = this._keyboard.toggle();
    if (on) this.viewport.canvas.focus({ preventScroll: true });
    return on;
  }

  /** @param {KeyboardEvent} event @returns {boolean} Whether the key was used. */
  handleKey(event) {
    return this._keyboard.handleKey(event) || (event.key === "Escape" && this._controller.cancel());
  }

  async _displayNext() {
    if (this._decoding || this._frozen || !this._next) return;
    const frame = this._next;
    this._next = null;
    this._decoding = true;
    try {
      const bitmap = await createImageBitmap(frame.jpeg);
      if (this._frozen && this.number !== null) bitmap.close();
      else this._display(frame, bitmap);
    } finally {
      this._decoding = false;
    }
    this._displayNext();
  }

  /** @param {LiveFrame} frame @param {ImageBitmap} bitmap */
  _display({ number, size, masks }, bitmap) {
    this.viewport.setImage(bitmap, this._size);
    this.viewport.setMasks(masks, size);
    this._bitmap?.close();
    this._bitmap = bitmap;
    this.number = number;
    this._onFrame(number);
  }
}
