/** Timeline: one lane per object, drawn from the bytes of its cells; playhead, range, zoom. */

import { h, themeColor } from "./dom.js";
import { aggregate, describeCell } from "./lane_colors.js";
import { LANE_PX, drawCells, tracePolygon } from "./lane_drawing.js";

/** @import { Range, Store } from "./store.js" */

const RULER_PX = 20;
const LABEL_PX = 128;
const MIN_SPAN = 10; // frames
const DRAG_PX = 4;
const COLORS =
  "panel text muted lane lane-line lane-low lane-mid lane-high lane-top lane-mark accepted playhead range selected accent";

/** @typedef {(range: Range | null) => void} OnRange */
/** @typedef {{onJump: (frame: number) => void, onSelect: (object: number) => void, onRange: OnRange}} TimelineHandlers */

export class Timeline {
  /** @param {Store} store @param {TimelineHandlers} handlers */
  constructor(store, handlers) {
    this.store = store;
    this.handlers = handlers;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.root = h(
      "div",
      { class: "lanes", role: "slider", tabindex: "0", "aria-label": "Timeline", "aria-valuemin": "0", title: "" },
      this.canvas,
    );
    /** @type {CanvasRenderingContext2D} */
    this.context = /** @type {any} */ (this.canvas.getContext("2d"));
    this.start = 0; // first visible frame
    this.span = 1; // visible frames
    this.scroll = 0; // pixels
    this.width = 0;
    this.height = 0;
    /** @type {Map<number, {bytes: Uint8Array, key: string, columns: Uint8Array}>} */
    this.cache = new Map();
    this.scheduled = false;
    /** @type {Record<string, string>} */
    this.colors = {};
    this.readColors();
    document.addEventListener("themechange", () => {
      this.readColors();
      this.schedule();
    });
    new ResizeObserver(([{ contentRect }]) => {
      this.width = contentRect.width;
      this.height = contentRect.height;
      this.schedule();
    }).observe(this.root);
    this.listen();
    let medium = /** @type {number | null} */ (null);
    store.subscribe(["lanes", "place", "selection", "objects", "range", "view"], (topics) => {
      if (store.medium !== medium) {
        medium = store.medium;
        this.showAll();
      }
      if (topics.has("place")) this.reveal(store.frame);
      if (topics.has("selection")) this.revealObject();
      this.schedule();
    });
  }

  readColors() {
    this.colors = Object.fromEntries(COLORS.split(" ").map((name) => [name, themeColor(`--${name}`)]));
  }

  get plotWidth() {
    return Math.max(1, this.width - LABEL_PX - 8);
  }

  showAll() {
    this.start = 0;
    this.span = Math.max(1, this.store.frames);
    this.scroll = 0;
    this.cache.clear();
    this.schedule();
  }

  /**
   * @param {number} factor below 1 to show fewer frames
   * @param {number} [frame] that stays in place; by default that of the playhead
   */
  zoom(factor, frame = this.store.frame) {
    const frames = this.store.frames;
    const span = Math.min(frames, Math.max(Math.min(MIN_SPAN, frames), this.span * factor));
    const share = (frame - this.start) / this.span;
    this.span = span;
    this.moveTo(frame - share * span);
  }

  /** @param {number} start */
  moveTo(start) {
    this.start = Math.max(0, Math.min(start, this.store.frames - this.span));
    this.schedule();
  }

  /** @param {number} frame */
  reveal(frame) {
    if (frame < this.start) this.moveTo(frame - this.span * 0.1);
    else if (frame >= this.start + this.span) this.moveTo(frame - this.span * 0.9);
  }

  revealObject() {
    const index = this.store.object === null ? -1 : this.store.objectIds.indexOf(this.store.object);
    if (index < 0) return;
    const visible = this.height - RULER_PX;
    if (index * LANE_PX < this.scroll) this.scroll = index * LANE_PX;
    else if ((index + 1) * LANE_PX > this.scroll + visible) this.scroll = (index + 1) * LANE_PX - visible;
  }

  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  /** @param {number} frame @returns {number} x of the frame's start */
  xOf(frame) {
    return LABEL_PX + ((frame - this.start) / this.span) * this.plotWidth;
  }

  /** @param {number} x @returns {number} */
  frameAt(x) {
    const frame = Math.floor(this.start + ((x - LABEL_PX) / this.plotWidth) * this.span);
    return Math.max(0, Math.min(this.store.frames - 1, frame));
  }

  /** @param {number} y @returns {number | null} */
  objectAt(y) {
    if (y < RULER_PX) return null;
    return this.store.objectIds[Math.floor((y - RULER_PX + this.scroll) / LANE_PX)] ?? null;
  }

  resize() {
    const lanes = Math.max(1, this.store.objectIds.length);
    const { width, height } = this;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    this.scroll = Math.max(0, Math.min(this.scroll, lanes * LANE_PX - (height - RULER_PX)));
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  draw() {
    const { store, context, colors } = this;
    if (!store.isVideo || !this.height) return;
    this.resize();
    context.fillStyle = colors.panel;
    context.fillRect(0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    context.rect(0, RULER_PX, this.width, this.height - RULER_PX);
    context.clip();
    const objects = store.objectIds;
    objects.forEach((object, index) => {
      const y = RULER_PX + index * LANE_PX - this.scroll;
      if (y + LANE_PX >= RULER_PX && y <= this.height) this.drawLane(object, y);
    });
    if (!objects.length) {
      context.fillStyle = colors.muted;
      context.font = "12px system-ui, sans-serif";
      context.fillText("Objects get their lanes here.", LABEL_PX + 6, RULER_PX + 14);
    }
    context.restore();
    this.drawRange();
    this.drawRuler();
    this.drawPlayhead();
    this.describe();
  }

  drawRuler() {
    const { context, colors } = this;
    const step = tickStep(this.span, this.plotWidth);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colors.muted;
    context.strokeStyle = colors["lane-line"];
    context.lineWidth = 1;
    context.beginPath();
    for (let frame = Math.ceil(this.start / step) * step; frame < this.start + this.span; frame += step) {
      const x = Math.round(this.xOf(frame)) + 0.5;
      context.moveTo(x, 12);
      context.lineTo(x, RULER_PX);
      context.fillText(String(frame), x + 7, 12);
    }
    context.moveTo(0, RULER_PX - 0.5);
    context.lineTo(this.width, RULER_PX - 0.5);
    context.stroke();
  }

  drawRange() {
    const { range } = this.store;
    if (!range) return;
    const { context, colors } = this;
    const left = Math.max(LABEL_PX, this.xOf(range.start));
    const right = Math.min(this.width - 8, this.xOf(range.stop));
    if (right <= left) return;
    context.globalAlpha = 0.16;
    context.fillStyle = colors.range;
    context.fillRect(left, 0, right - left, this.height);
    context.globalAlpha = 1;
    context.fillRect(left, 0, right - left, 3);
    context.fillRect(left, 0, 1, this.height);
    context.fillRect(right - 1, 0, 1, this.height);
  }

  /** @param {number} object @param {number} y */
  drawLane(object, y) {
    const { store, context, colors } = this;
    const entry = store.objectOf(object);
    if (!entry) return;
    const selected = object === store.object;
    if (selected) {
      context.fillStyle = colors.selected;
      context.fillRect(0, y, LABEL_PX - 2, LANE_PX);
      context.fillStyle = colors.accent;
      context.fillRect(0, y, 3, LANE_PX);
    }
    context.globalAlpha = store.isVisible(object) ? 1 : 0.5;
    context.fillStyle = entry.color;
    context.fillRect(9, y + 5, 10, 10);
    context.fillStyle = colors.text;
    context.font = `${selected ? "600 " : ""}12px system-ui, sans-serif`;
    context.fillText(
      fitText(context, `${store.nameOf(object)}${entry.locked ? " (locked)" : ""}`, LABEL_PX - 32),
      25,
      y + 14,
    );
    context.globalAlpha = 1;
    context.fillStyle = colors.lane;
    context.fillRect(LABEL_PX, y + 3, this.plotWidth, LANE_PX - 6);
    this.drawColumns(this.columnsOf(object), y);
  }

  /** @param {number} object @returns {Uint8Array} one byte per column of pixels, or per frame where frames are wider */
  columnsOf(object) {
    const lanes = this.store.shownLanes;
    const bytes = lanes?.cells.get(object);
    if (!bytes) return new Uint8Array();
    const columns = Math.min(Math.ceil(this.plotWidth), Math.ceil(this.span));
    const key = `${lanes?.versions.get(object) || 0} ${this.start} ${this.span} ${columns}`;
    const cached = this.cache.get(object);
    if (cached && cached.bytes === bytes && cached.key === key) return cached.columns;
    const wide = this.plotWidth >= this.span; // every frame has a column of its own
    const first = Math.floor(this.start);
    const result = wide
      ? bytes.subarray(first, Math.ceil(this.start + this.span))
      : aggregate(bytes, this.start, this.span, columns);
    this.cache.set(object, { bytes, key, columns: result });
    return result;
  }

  /** @param {Uint8Array} columns @param {number} y */
  drawColumns(columns, y) {
    const { context, plotWidth } = this;
    const wide = plotWidth >= this.span;
    const width = wide ? plotWidth / this.span : plotWidth / columns.length;
    context.save();
    context.beginPath();
    context.rect(LABEL_PX, y, plotWidth, LANE_PX);
    context.clip();
    drawCells(context, this.colors, columns, wide ? this.xOf(Math.floor(this.start)) : LABEL_PX, width, y);
    context.restore();
  }

  drawPlayhead() {
    const { context, colors, store } = this;
    const width = this.plotWidth / this.span;
    const left = this.xOf(store.frame);
    if (left + width < LABEL_PX || left > this.width) return;
    if (width >= 3) {
      context.globalAlpha = 0.18;
      context.fillStyle = colors.playhead;
      context.fillRect(left, RULER_PX, width, this.height - RULER_PX);
      context.globalAlpha = 1;
    }
    const middle = Math.round(left + width / 2) + 0.5;
    context.strokeStyle = context.fillStyle = colors.playhead;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(middle, 8);
    context.lineTo(middle, this.height);
    context.stroke();
    context.beginPath();
    tracePolygon(context, middle, 2, [-5, 0, 5, 0, 5, 5, 0, 10, -5, 5]);
    context.fill();
  }

  /** State the frame and the selected object's cell for assistive technology. */
  describe() {
    const { store, root } = this;
    const object = store.selected;
    const cell =
      object && store.object !== null ? `, ${store.selectedName}: ${describeCell(store.cellOf(store.object))}` : "";
    root.setAttribute("aria-valuemax", String(store.frames - 1));
    root.setAttribute("aria-valuenow", String(store.frame));
    root.setAttribute("aria-valuetext", `Frame ${store.frame} of ${store.frames}${cell}`);
  }

  listen() {
    const { root, handlers } = this;
    /** @type {{x: number, frame: number, kind: "scrub" | "range" | "label" | "pan", moved: boolean} | null} */
    let drag = null;
    root.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      const { x, y } = this.position(event);
      const kind = event.button === 1 ? "pan" : x < LABEL_PX ? "label" : y < RULER_PX ? "scrub" : "range";
      drag = { x, frame: this.frameAt(x), kind, moved: false };
      root.setPointerCapture(event.pointerId);
      const object = this.objectAt(y);
      if (object !== null) handlers.onSelect(object);
      if (kind === "scrub") handlers.onJump(drag.frame);
      event.preventDefault();
      root.focus({ preventScroll: true });
    });
    root.addEventListener("pointermove", (event) => {
      const { x, y } = this.position(event);
      if (!drag) {
        this.hover(x, y);
        return;
      }
      if (Math.abs(x - drag.x) >= DRAG_PX) drag.moved = true;
      if (!drag.moved) return;
      const frame = this.frameAt(x);
      if (drag.kind === "scrub") handlers.onJump(frame);
      else if (drag.kind === "range") {
        handlers.onRange({ start: Math.min(frame, drag.frame), stop: Math.max(frame, drag.frame) + 1 });
      } else if (drag.kind === "pan") {
        this.moveTo(this.start - ((x - drag.x) / this.plotWidth) * this.span);
        drag.x = x;
      }
    });
    root.addEventListener("pointerup", () => {
      if (drag && !drag.moved && drag.kind === "range") {
        handlers.onRange(null);
        handlers.onJump(drag.frame);
      }
      drag = null;
    });
    root.addEventListener("pointercancel", () => (drag = null));
    root.addEventListener("dblclick", (event) => {
      const { x, y } = this.position(event);
      if (x > LABEL_PX && y < RULER_PX) this.showAll();
    });
    root.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { x } = this.position(event);
        if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(event.deltaY / 400), this.frameAt(x));
        else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          this.moveTo(this.start + ((event.deltaX || event.deltaY) / this.plotWidth) * this.span);
        } else {
          this.scroll += event.deltaY;
          this.schedule();
        }
      },
      { passive: false },
    );
  }

  /** @param {MouseEvent} event */
  position(event) {
    const box = this.root.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** @param {number} x @param {number} y */
  hover(x, y) {
    const object = this.objectAt(y);
    const frame = this.frameAt(x);
    const name = object === null ? "" : this.store.nameOf(object);
    const cell =
      object !== null && x >= LABEL_PX ? ` · ${name}: ${describeCell(this.store.cellOf(object, frame))}` : "";
    const title = x < LABEL_PX ? name : `Frame ${frame}${cell}`;
    if (this.root.title !== title) this.root.title = title;
  }
}

/**
 * @param {number} span frames
 * @param {number} width pixels
 * @returns {number} frames between two numbers of the ruler: 1, 2 or 5 times a power of ten
 */
function tickStep(span, width) {
  const least = (span * 64) / width;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= least) || 10;
  return Math.max(1, step * power);
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} width */
function fitText(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length--;
  return `${text.slice(0, length)}…`;
}
