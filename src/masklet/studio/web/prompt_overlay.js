/** Prompt overlay: the points and the box of the active object, and the rubber band of a new box. */

import { drawSquare, strokeTwice } from "./overlay_canvas.js";

/** @import { Context, ToView } from "./overlay_canvas.js" */
/** @import { Size } from "./rle.js" */
/** @import { Box } from "./transform.js" */

/** @typedef {[number, number, number]} PromptPoint x, y, and 1 for the object or 0 for the background */
/** @typedef {{points: PromptPoint[], box: Box | null}} Prompt */
/** @typedef {[number, number, number, number]} Edges 1 for those that move: left, top, right, bottom */
/** What is under the cursor. @typedef {{kind: "point", index: number} | {kind: "handle" | "border", edges: Edges}} Hit */

const POINT_RADIUS = 6;
const HANDLE_SIDE = 8;
const REACH = 9; // CSS pixels from the cursor
const REACH_OF_TOUCH = 20;
const BORDER_REACH = 4;
const POSITIVE = "#1fa045";
const NEGATIVE = "#d92626";
const BOX = "#ffffff";

/** Corners and middles of edges. @type {Edges[]} */
const HANDLES = [
  [1, 1, 0, 0],
  [0, 1, 1, 0],
  [0, 0, 1, 1],
  [1, 0, 0, 1],
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
];
/** @type {Edges} */
const ALL_EDGES = [1, 1, 1, 1];

/** It shows changes at once, until `setPrompt` gives the saved ones. */
export class PromptOverlay {
  constructor() {
    /** @type {Prompt} */
    this.prompt = { points: [], box: null };
    /** @type {Hit | null} */
    this.hovered = null;
    /** A box that is being drawn. @type {Box | null} */
    this.band = null;
    /** Otherwise points are smaller, and boxes have no handles. */
    this.isEditable = true;
  }

  /** @param {Prompt} prompt */
  setPrompt({ points, box }) {
    this.prompt = { points: points.map((point) => [...point]), box: box && [...box] };
  }

  /**
   * What is at a position of the view.
   *
   * @param {number} left CSS pixels
   * @param {number} top CSS pixels
   * @param {boolean} touch Whether the reach is that of a finger.
   * @param {ToView} toView
   * @returns {Hit | null}
   */
  hit(left, top, touch, toView) {
    const reach = touch ? REACH_OF_TOUCH : REACH;
    const point = nearest(this.prompt.points.map(([x, y]) => toView(x, y)), left, top, reach);
    if (point >= 0) return { kind: "point", index: point };
    const { box } = this.prompt;
    if (!box) return null;
    const handle = nearest(handlePositions(box).map(([x, y]) => toView(x, y)), left, top, reach);
    if (handle >= 0) return { kind: "handle", edges: HANDLES[handle] };
    const [x0, y0] = toView(box[0], box[1]);
    const [x1, y1] = toView(box[2], box[3]);
    const outside = Math.max(x0 - left, left - x1, y0 - top, top - y1);
    return Math.abs(outside) <= BORDER_REACH ? { kind: "border", edges: ALL_EDGES } : null;
  }

  isEmpty() {
    return this.prompt.points.length === 0 && !this.prompt.box && !this.band;
  }

  /** @param {Context} context @param {ToView} toView */
  draw(context, toView) {
    const { points, box } = this.prompt;
    if (box) this._drawBox(context, box, toView);
    if (this.band) {
      traceBox(context, this.band, toView);
      strokeTwice(context, BOX, { dashes: [6, 4] });
    }
    points.forEach(([x, y, label], index) => {
      const hovered = this.hovered?.kind === "point" && this.hovered.index === index;
      const radius = POINT_RADIUS * (this.isEditable ? (hovered ? 1.5 : 1) : 0.75);
      drawPoint(context, toView(x, y), label === 1, radius);
    });
  }

  /** @param {Context} context @param {Box} box @param {ToView} toView */
  _drawBox(context, box, toView) {
    traceBox(context, box, toView);
    strokeTwice(context, BOX);
    if (!this.isEditable) return;
    for (const [index, [x, y]] of handlePositions(box).entries()) {
      const hovered = this.hovered?.kind === "handle" && this.hovered.edges === HANDLES[index];
      drawSquare(context, toView(x, y), BOX, hovered ? HANDLE_SIDE * 1.5 : HANDLE_SIDE);
    }
  }
}

/**
 * Move edges of a box. Edges that pass each other are exchanged.
 *
 * @param {Box} box
 * @param {Edges} edges
 * @param {number} dx
 * @param {number} dy
 * @param {Size} size Of the image, to which the box is limited.
 * @returns {Box}
 */
export function moveEdges(box, edges, dx, dy, [height, width]) {
  if (edges.every((edge) => edge)) {
    const x = Math.min(width - box[2], Math.max(-box[0], dx));
    const y = Math.min(height - box[3], Math.max(-box[1], dy));
    return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
  }
  const moved = box.map((value, index) => value + edges[index] * (index % 2 ? dy : dx));
  return spanBox(moved[0], moved[1], moved[2], moved[3], [height, width]);
}

/**
 * The box with two opposite corners, clipped to the image.
 *
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @param {Size} size
 * @returns {Box}
 */
export function spanBox(x0, y0, x1, y1, [height, width]) {
  /** @param {number} value @param {number} limit */
  const clip = (value, limit) => Math.min(limit, Math.max(0, value));
  const [left, right] = [clip(Math.min(x0, x1), width), clip(Math.max(x0, x1), width)];
  const [top, bottom] = [clip(Math.min(y0, y1), height), clip(Math.max(y0, y1), height)];
  return [left, top, right, bottom];
}

/**
 * The box with two opposite corners as it is sent, rounded to hundredths of a pixel.
 *
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @param {Size} size
 * @returns {Box | null} Null if a side is shorter than a pixel.
 */
export function roundBox(x0, y0, x1, y1, size) {
  const [left, top, right, bottom] = spanBox(x0, y0, x1, y1, size).map((value) => Math.round(value * 100) / 100);
  return right - left < 1 || bottom - top < 1 ? null : [left, top, right, bottom];
}

/** The cursor of what is under it. @param {Hit | null} hit @param {string} otherwise */
export function cursorOf(hit, otherwise) {
  if (!hit) return otherwise;
  if (hit.kind === "point") return "pointer";
  if (hit.kind === "border") return "move";
  const [left, top, right, bottom] = hit.edges;
  if (left + right === 0) return "ns-resize";
  if (top + bottom === 0) return "ew-resize";
  return left === top ? "nwse-resize" : "nesw-resize";
}

/**
 * @param {[number, number][]} positions
 * @param {number} left
 * @param {number} top
 * @param {number} reach
 * @returns {number} The index of the nearest position within reach; the last of several at one place. −1 if none.
 */
export function nearest(positions, left, top, reach) {
  let [found, least] = [-1, reach];
  positions.forEach(([x, y], index) => {
    const distance = Math.hypot(x - left, y - top);
    if (distance <= least) [found, least] = [index, distance];
  });
  return found;
}

/** @param {Box} box @returns {[number, number][]} */
function handlePositions([x0, y0, x1, y1]) {
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y], [x, y0], [x1, y], [x, y1]]; // prettier-ignore
}

/** @param {Context} context @param {Box} box @param {ToView} toView */
function traceBox(context, box, toView) {
  const [x0, y0] = toView(box[0], box[1]);
  const [x1, y1] = toView(box[2], box[3]);
  context.beginPath();
  context.rect(x0, y0, x1 - x0, y1 - y0);
}

/**
 * @param {Context} context
 * @param {[number, number]} position CSS pixels
 * @param {boolean} positive
 * @param {number} radius
 */
function drawPoint(context, [left, top], positive, radius) {
  context.beginPath();
  if (positive) context.arc(left, top, radius, 0, 2 * Math.PI);
  else context.rect(left - radius * 0.9, top - radius * 0.9, radius * 1.8, radius * 1.8);
  context.fillStyle = positive ? POSITIVE : NEGATIVE;
  context.fill();
  strokeTwice(context, "#ffffff");
  context.beginPath();
  const arm = radius * 0.55;
  context.moveTo(left - arm, top);
  context.lineTo(left + arm, top);
  if (positive) {
    context.moveTo(left, top - arm);
    context.lineTo(left, top + arm);
  }
  context.lineWidth = 1.75;
  context.strokeStyle = "#ffffff";
  context.stroke();
}
