/** Keyboard hand: presses, drags and releases of the keyboard cursor, for the current tool. */

import { roundBox } from "../prompt_overlay.js";

/** @import { Pointer } from "./tool.js" */

const DRAG_FROM = 1; // CSS pixels from where a press is a drag

/** Gives the tool of a controller pointers at the place of the keyboard cursor. */
export class KeyboardHand {
  /**
   * @param {import("./tool_controller.js").ToolController} controller
   * @param {import("../viewport.js").Viewport} viewport
   * @param {import("./actions.js").Actions} actions
   */
  constructor(controller, viewport, actions) {
    this._controller = controller;
    this._viewport = viewport;
    this._actions = actions;
    /** @type {Pointer | null} */
    this._start = null;
  }

  /** @param {number} x Pixels of the image. @param {number} y @param {boolean} negative */
  press(x, y, negative) {
    if (!this._controller.isEnabled || !this._viewport.hasImage) return;
    const { tool } = this._controller;
    this._start = { ...this._pointer(x, y), button: negative ? 2 : 0 };
    tool.hoverEnd();
    tool.press(this._start);
  }

  /** @param {number} x @param {number} y */
  drag(x, y) {
    if (this._start) this._controller.tool.drag(this._pointer(x, y));
  }

  /** @param {number} x @param {number} y */
  release(x, y) {
    if (!this._start) return;
    const pointer = this._pointer(x, y);
    this._start = null;
    this._controller.tool.release(pointer);
  }

  /** @param {number} x @param {number} y */
  hover(x, y) {
    if (this._controller.isEnabled && this._viewport.hasImage) this._controller.tool.hover(this._pointer(x, y));
  }

  leave() {
    this._controller.tool.hoverEnd();
  }

  /** @returns {boolean} Whether something was begun. */
  cancel() {
    this._start = null;
    return this._controller.tool.cancel();
  }

  /** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
  box(x0, y0, x1, y1) {
    const box = roundBox(x0, y0, x1, y1, this._viewport.imageSize);
    if (box && this._controller.isEnabled) this._actions.box(...box, false);
  }

  /** @param {number} x @param {number} y @returns {Pointer} */
  _pointer(x, y) {
    const [left, top] = this._viewport.toView(x, y);
    const start = this._start;
    const moved = start !== null && Math.hypot(left - start.left, top - start.top) >= DRAG_FROM;
    return { x, y, left, top, button: start?.button ?? 0, shift: false, alt: false, touch: false, moved };
  }
}
