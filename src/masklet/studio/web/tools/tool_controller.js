/** Tool controller: turns events of the pointer, wheel and fingers into pan, zoom and gestures of the current tool. */

import { limitSize } from "../brush.js";

/** @import { Viewport } from "../viewport.js" */
/** @import { Pointer, Tool } from "./tool.js" */

const DRAG_FROM = 5; // CSS pixels from where a press is a drag
const DRAG_FROM_OF_TOUCH = 10;
const LONG_PRESS_MS = 500;
const WHEEL_SPEED = 0.0016; // exponent of the zoom per CSS pixel of the wheel
const PINCH_SPEED = 0.01; // the same for a pinch on a trackpad
const LINE = 16; // CSS pixels per line of the wheel

/** What the pressed pointer does. @typedef {"idle" | "tool" | "pan" | "pinch" | "size" | "ignored"} Mode */

export class ToolController {
  /**
   * @param {Viewport} viewport
   * @param {Tool} tool
   * @param {import("../brush.js").BrushCursor} brush
   * @param {object} listeners
   * @param {(position: {x: number | null, y: number | null}) => void} listeners.onMove in the image
   * @param {(size: number) => void} listeners.onSize of the brush
   */
  constructor(viewport, tool, brush, { onMove, onSize }) {
    this._viewport = viewport;
    this._canvas = viewport.canvas;
    this._brush = brush;
    this._onMove = onMove;
    this._onSize = onSize;
    this.tool = tool;
    this.isEnabled = true;
    this.spacePanned = false; // since Space went down
    this._space = false;
    /** @type {Mode} */
    this._mode = "idle";
    /** Pressed pointers by id, in CSS pixels of the page. @type {Map<number, [number, number]>} */
    this._pointers = new Map();
    /** @type {{event: PointerEvent, button: number, shift: boolean, alt: boolean, moved: boolean, size: number} | null} */
    this._start = null;
    /** @type {Pointer | null} */
    this._last = null;
    this._longPress = 0;
    this._listen();
  }

  /** @param {Tool} tool */
  setTool(tool) {
    if (tool === this.tool) return;
    this.cancel();
    this.tool.leave();
    this.tool = tool;
    this.tool.enter();
    this._hoverAgain();
  }

  /** @param {boolean} enabled */
  setEnabled(enabled) {
    this.isEnabled = enabled;
    if (enabled) return;
    this.cancel();
    this.tool.hoverEnd();
  }

  /** Discard what was begun. @returns {boolean} Whether something was begun. */
  cancel() {
    const began = this._mode === "tool" || this._mode === "size";
    if (this._mode !== "idle") this._mode = "ignored";
    clearTimeout(this._longPress);
    return this.tool.cancel() || began;
  }

  /** The button and modifiers are those of the press. @param {MouseEvent | PointerEvent} event @returns {Pointer} */
  _pointer(event) {
    const { x, y } = this._viewport.toImage(event.clientX, event.clientY);
    const box = this._canvas.getBoundingClientRect();
    return {
      x,
      y,
      left: event.clientX - box.left,
      top: event.clientY - box.top,
      button: this._start?.button ?? 0,
      shift: this._start?.shift ?? event.shiftKey,
      alt: this._start?.alt ?? event.altKey,
      touch: "pointerType" in event && event.pointerType === "touch",
      moved: this._start?.moved ?? false,
    };
  }

  _listen() {
    const canvas = this._canvas;
    canvas.addEventListener("pointerdown", (event) => this._press(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    canvas.addEventListener("pointerup", (event) => this._release(event));
    canvas.addEventListener("pointercancel", (event) => this._lose(event));
    canvas.addEventListener("pointerleave", () => this._leave());
    canvas.addEventListener("dblclick", (event) => this._doubleClick(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    window.addEventListener("keydown", (event) => this._spaceDown(event));
    window.addEventListener("keyup", (event) => this._spaceUp(event));
    window.addEventListener("blur", () => this._blur());
  }

  /** @param {PointerEvent} event */
  _press(event) {
    event.preventDefault(); // no selection of text, no scrolling by the middle button
    this._canvas.focus({ preventScroll: true });
    capture(this._canvas, event.pointerId);
    this._pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this._pointers.size === 2 && event.pointerType === "touch") {
      this._beginPinch();
      return;
    }
    if (this._mode !== "idle" || !this._viewport.hasImage) return;
    const { button, shiftKey: shift, altKey: alt } = event;
    this._start = { event, button, shift, alt, moved: false, size: this._brush.size };
    this._mode = this._modeOf(event);
    this.tool.hoverEnd();
    if (this._mode === "tool") this._pressTool(event);
    if (this._mode === "pan") this._canvas.style.cursor = "grabbing";
  }

  /** @param {PointerEvent} event @returns {Mode} */
  _modeOf({ button, altKey }) {
    if (button === 1 || (button === 0 && this._space)) {
      this.spacePanned ||= this._space;
      return "pan";
    }
    if (button === 2 && altKey && this.tool.hasSize) return "size";
    return this.isEnabled && (button === 0 || button === 2) ? "tool" : "ignored";
  }

  /** @param {PointerEvent} event */
  _pressTool(event) {
    this.tool.press(this._pointer(event));
    if (event.pointerType !== "touch") return;
    clearTimeout(this._longPress);
    this._longPress = setTimeout(() => this._finishLongPress(event), LONG_PRESS_MS);
  }

  /** A finger that rests is the right button. @param {PointerEvent} event */
  _finishLongPress(event) {
    if (this._mode !== "tool" || !this._start || this._start.moved) return;
    this.tool.cancel();
    this._start.button = 2;
    this.tool.press(this._pointer(event));
    this.tool.release(this._pointer(event));
    this._mode = "ignored";
    navigator.vibrate?.(15);
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const before = this._pointers.get(event.pointerId);
    const centerBefore = this._mode === "pinch" ? this._pinch() : null;
    if (before) this._pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this._mode === "idle") this._hover(event);
    else if (centerBefore) this._movePinch(centerBefore);
    else if (before && this._start) {
      this._checkMoved(event);
      if (this._mode === "pan") this._viewport.panBy(event.clientX - before[0], event.clientY - before[1]);
      else if (this._mode === "size") this._dragSize(event);
      else if (this._mode === "tool") this._dragTool(event, before);
    }
    this._reportPosition(event);
  }

  /** @param {PointerEvent} event */
  _hover(event) {
    const pointer = this._pointer(event);
    this._last = pointer;
    if (this._space) this._canvas.style.cursor = "grab";
    else if (!this.isEnabled || !this._viewport.hasImage) this._canvas.style.cursor = "default";
    else if (event.pointerType !== "touch") this._canvas.style.cursor = this.tool.hover(pointer);
  }

  /** @param {PointerEvent} event @param {[number, number]} before */
  _dragTool(event, before) {
    if (this.tool.pans) {
      if (this._start?.moved) this._viewport.panBy(event.clientX - before[0], event.clientY - before[1]);
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.tool.drag(this._pointer(one));
  }

  /** @param {PointerEvent} event */
  _dragSize(event) {
    const { event: start, size } = /** @type {{event: PointerEvent, size: number}} */ (this._start);
    this._brush.size = limitSize(size + (2 * (event.clientX - start.clientX)) / this._viewport.zoom);
    const { x, y } = this._viewport.toImage(start.clientX, start.clientY);
    this._brush.position = [x, y];
    this._viewport.requestDraw();
    this._onSize(this._brush.size);
  }

  /** @param {PointerEvent} event */
  _checkMoved(event) {
    const start = this._start;
    if (!start || start.moved) return;
    const distance = Math.hypot(event.clientX - start.event.clientX, event.clientY - start.event.clientY);
    start.moved = distance >= (event.pointerType === "touch" ? DRAG_FROM_OF_TOUCH : DRAG_FROM);
    if (start.moved) clearTimeout(this._longPress);
  }

  /** @param {PointerEvent} event */
  _release(event) {
    const known = this._pointers.delete(event.pointerId);
    clearTimeout(this._longPress);
    if (this._mode === "tool" && known) this.tool.release(this._pointer(event));
    this._settle(event);
  }

  /** The system took the pointer. @param {PointerEvent} event */
  _lose(event) {
    this._pointers.delete(event.pointerId);
    this.cancel();
    this._settle(event);
  }

  /** @param {PointerEvent} event */
  _settle(event) {
    if (this._pointers.size > 0) {
      this._mode = "ignored";
      return;
    }
    this._mode = "idle";
    this._start = null;
    if (event.pointerType === "mouse" || event.pointerType === "pen") this._hover(event);
  }

  _leave() {
    if (this._mode === "idle") this.tool.hoverEnd();
    this._last = null;
    this._onMove({ x: null, y: null });
  }

  /** @param {MouseEvent} event */
  _doubleClick(event) {
    if (this.isEnabled) this.tool.doubleClick(this._pointer(event));
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    const delta = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * LINE : event.deltaY;
    const pixels = Math.max(-400, Math.min(400, delta));
    const speed = event.ctrlKey ? PINCH_SPEED : WHEEL_SPEED;
    this._viewport.zoomAt(event.clientX, event.clientY, Math.exp(-pixels * speed));
    if (this._mode === "idle" && this._last) this._last = this._pointer(event);
    this._reportPosition(event);
  }

  _beginPinch() {
    this.cancel();
    this._mode = "pinch";
  }

  /** @returns {{x: number, y: number, distance: number}} Of the first two fingers, in CSS pixels of the page. */
  _pinch() {
    const [[x0, y0], [x1, y1]] = [...this._pointers.values()];
    return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, distance: Math.max(1, Math.hypot(x1 - x0, y1 - y0)) };
  }

  /** @param {{x: number, y: number, distance: number}} before */
  _movePinch(before) {
    const { x, y, distance } = this._pinch();
    this._viewport.panBy(x - before.x, y - before.y);
    this._viewport.zoomAt(x, y, distance / before.distance);
  }

  /** @param {KeyboardEvent} event */
  _spaceDown(event) {
    if (event.code !== "Space" || event.repeat || isControl(event.target)) return;
    this._space = true;
    this.spacePanned = false;
    if (this._mode === "idle") this._canvas.style.cursor = "grab";
  }

  /** @param {KeyboardEvent} event */
  _spaceUp(event) {
    if (event.code !== "Space") return;
    this._space = false;
    this._hoverAgain();
  }

  _blur() {
    this._space = false;
  }

  _hoverAgain() {
    if (this._mode !== "idle") return;
    this._canvas.style.cursor = this._last && this.isEnabled ? this.tool.hover(this._last) : "default";
  }

  /** @param {{clientX: number, clientY: number}} event */
  _reportPosition(event) {
    const position = this._viewport.toImage(event.clientX, event.clientY);
    this._onMove(this.tool.isInside(position) ? position : { x: null, y: null });
  }
}

/** @param {HTMLElement} element @param {number} id */
function capture(element, id) {
  try {
    element.setPointerCapture(id);
  } catch {
    // the pointer is up already
  }
}

/** @param {EventTarget | null} target */
function isControl(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, button, a, [contenteditable]");
}
