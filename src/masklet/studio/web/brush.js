/** Brush: the circle of the brush and eraser. */

import { strokeTwice } from "./overlay_canvas.js";

/** @import { Context, ToView } from "./overlay_canvas.js" */

const MIN_BRUSH = 1; // pixels of the image
const MAX_BRUSH = 1000;
const STEP = 1.15;

export class BrushCursor {
  constructor() {
    /** Diameter in pixels of the image. */
    this.size = 24;
    /** Center in pixels of the image; null where no circle is drawn. @type {[number, number] | null} */
    this.position = null;
    this.isEraser = false;
  }

  isEmpty() {
    return this.position === null;
  }

  /** @param {Context} context @param {ToView} toView @param {number} zoom CSS pixels per pixel of the image. */
  draw(context, toView, zoom) {
    if (!this.position) return;
    const [left, top] = toView(...this.position);
    const radius = Math.max(1, (this.size * zoom) / 2);
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    strokeTwice(context, "#ffffff", { width: 1, dashes: this.isEraser ? [4, 3] : [] });
    context.fillStyle = "#ffffff";
    if (radius > 6) context.fillRect(left - 1, top - 1, 2, 2);
  }
}

/** @param {number} size @param {number} steps of 15 %, by at least one pixel each @returns {number} */
export function stepSize(size, steps) {
  let changed = size;
  for (let step = 0; step < Math.abs(steps); step++) {
    changed = steps > 0 ? Math.max(changed + 1, changed * STEP) : Math.min(changed - 1, changed / STEP);
  }
  return limitSize(changed);
}

/** @param {number} size @returns {number} A whole number of pixels that a brush can have. */
export function limitSize(size) {
  return Math.min(MAX_BRUSH, Math.max(MIN_BRUSH, Math.round(size)));
}
