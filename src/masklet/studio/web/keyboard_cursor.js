/** Keyboard cursor: a crosshair that arrow keys move, and keys that click and drag with the current tool. */

import { strokeTwice } from "./overlay_canvas.js";
import { roundBox } from "./prompt_overlay.js";

/** @import { Context, ToView } from "./overlay_canvas.js" */
/** @import { Pointer } from "./tools/tool.js" */

const STEPS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});
const LONG_STEP = 10;
const MARGIN = 24;
const DRAG_FROM = 1; // CSS pixels from where a press is a drag

/**
 * The crosshair and its keys: arrows move it by one pixel of the screen, with Shift by ten; Enter or Space clicks, with Shift
 * negatively; X marks two corners of a box; G holds the button down until G, Enter or Space.
 */
export class KeyboardCursor {
  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {import("./tools/tool_controller.js").ToolController} controller whose tool the keys use
   * @param {import("./tools/actions.js").Actions} actions
   */
  constructor(viewport, controller, actions) {
    this._viewport = viewport;
    this._controller = controller;
    this._actions = actions;
    this.isOn = false;
    this.x = 0; // pixels of the image
    this.y = 0;
    this._held = false;
    /** @type {Pointer | null} */
    this._start = null;
    /** @type {[number, number] | null} */
    this._corner = null;
  }

  /** Turn the cursor on in the middle of the view, or off. @returns {boolean} Whether it is on now. */
  toggle() {
    if (this.isOn) this._turnOff();
    else {
      const [x0, y0, x1, y1] = this._viewport.transform.visible();
      this.x = (x0 + x1) / 2;
      this.y = (y0 + y1) / 2;
      this.isOn = true;
      this._hover();
    }
    this._viewport.requestDraw();
    return this.isOn;
  }

  /** @param {KeyboardEvent} event @returns {boolean} Whether the key was used. */
  handleKey(event) {
    if (!this.isOn || event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = STEPS[event.key];
    if (step) this._move(step, event.shiftKey ? LONG_STEP : 1);
    else if (event.key === "Enter" || event.key === " ") this._click(event.shiftKey);
    else if (event.key === "x" || event.key === "X") this._markCorner();
    else if (event.key === "g" || event.key === "G") this._toggleHold();
    else if (event.key === "Escape") this._cancel();
    else return false;
    this._viewport.requestDraw();
    return true;
  }

  isEmpty() {
    return !this.isOn;
  }

  /** @param {Context} context @param {ToView} toView */
  draw(context, toView) {
    const [left, top] = toView(this.x, this.y);
    if (this._corner) {
      const [x, y] = toView(...this._corner);
      context.beginPath();
      context.rect(Math.min(x, left), Math.min(y, top), Math.abs(left - x), Math.abs(top - y));
      strokeTwice(context, "#ffffff", { dashes: [6, 4] });
    }
    const gap = this._held ? 0 : 4;
    context.beginPath();
    for (const [dx, dy] of Object.values(STEPS)) {
      context.moveTo(left + dx * gap, top + dy * gap);
      context.lineTo(left + dx * 16, top + dy * 16);
    }
    strokeTwice(context, "#ffd400");
  }

  /** @param {[number, number]} step @param {number} length CSS pixels */
  _move([dx, dy], length) {
    const { imageSize, zoom } = this._viewport;
    this.x = Math.min(imageSize[1] - 0.5, Math.max(0.5, this.x + (dx * length) / zoom));
    this.y = Math.min(imageSize[0] - 0.5, Math.max(0.5, this.y + (dy * length) / zoom));
    this._keepVisible();
    if (!this._held) this._hover();
    else if (this._start) this._controller.tool.drag(this._pointer());
  }

  _keepVisible() {
    const [left, top] = this._viewport.toView(this.x, this.y);
    const { width, height } = this._viewport.canvas.getBoundingClientRect();
    const dx = Math.max(0, MARGIN - left) - Math.max(0, left - width + MARGIN);
    const dy = Math.max(0, MARGIN - top) - Math.max(0, top - height + MARGIN);
    if (dx || dy) this._viewport.panBy(dx, dy);
  }

  /** @param {boolean} negative */
  _click(negative) {
    if (this._held) this._toggleHold();
    else {
      this._press(negative);
      this._release();
    }
  }

  _toggleHold() {
    if (this._held) this._release();
    else this._press(false);
    this._held = !this._held;
  }

  _markCorner() {
    if (this._corner) {
      const box = roundBox(...this._corner, this.x, this.y, this._viewport.imageSize);
      if (box && this._controller.isEnabled) this._actions.box(...box, false);
      this._corner = null;
    } else this._corner = [this.x, this.y];
  }

  /** Cancel what was begun, else turn the cursor off. */
  _cancel() {
    this._start = null;
    if (!this._controller.tool.cancel() && !this._corner) this._turnOff();
    this._held = false;
    this._corner = null;
  }

  _turnOff() {
    if (this._held) this._controller.tool.cancel();
    this.isOn = this._held = false;
    this._start = this._corner = null;
    this._controller.tool.hoverEnd();
  }

  get _canUseTool() {
    return this._controller.isEnabled && this._viewport.hasImage;
  }

  /** @param {boolean} negative */
  _press(negative) {
    if (!this._canUseTool) return;
    const { tool } = this._controller;
    this._start = { ...this._pointer(), button: negative ? 2 : 0 };
    tool.hoverEnd();
    tool.press(this._start);
  }

  _release() {
    if (!this._start) return;
    const pointer = this._pointer();
    this._start = null;
    this._controller.tool.release(pointer);
  }

  _hover() {
    if (this._canUseTool) this._controller.tool.hover(this._pointer());
  }

  /** @returns {Pointer} */
  _pointer() {
    const { x, y, _start: start } = this;
    const [left, top] = this._viewport.toView(x, y);
    const moved = start !== null && Math.hypot(left - start.left, top - start.top) >= DRAG_FROM;
    return { x, y, left, top, button: start?.button ?? 0, shift: false, alt: false, touch: false, moved };
  }
}
