/** Lane drawing: the cells of one object on the timeline. States differ in height and pattern, not only in color. */

import { isLow, readCell } from "./lane_colors.js";

/** @typedef {Record<string, string>} Colors of the theme, by name */

export const LANE_PX = 20;

/** Corners of marks, in pixels from the middle: x, y, … @type {Record<string, number[]>} */
const MARKS = {
  prompted: [0, -5, 5, 0, 0, 5, -5, 0],
  edited: [-4, -4, 4, -4, 4, 4, -4, 4],
  imported: [-5, -4, 5, -4, 0, 5],
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Colors} colors
 * @param {Uint8Array} columns one byte each
 * @param {number} left of the first column
 * @param {number} width of a column
 * @param {number} y of the lane
 */
export function drawCells(context, colors, columns, left, width, y) {
  const gap = width >= 6 ? 1 : 0; // between frames that are wide
  for (let from = 0; from < columns.length; ) {
    let to = from + 1;
    while (to < columns.length && columns[to] === columns[from] && !gap) to++;
    if (columns[from]) drawRun(context, colors, columns[from], left + from * width, (to - from) * width - gap, y);
    from = to;
  }
  for (let column = 0; column < columns.length; column++) {
    const state = columns[column] & 7;
    if (state >= 2 && state !== 4 && state !== 7) {
      drawMark(context, colors, columns[column], left + (column + 0.5) * width, y + LANE_PX / 2);
    }
  }
}

/**
 * Draw cells of one state.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Colors} colors
 * @param {number} byte
 * @param {number} x
 * @param {number} width
 * @param {number} y
 */
function drawRun(context, colors, byte, x, width, y) {
  const { state, accepted, score } = readCell(byte);
  const size = Math.max(1, width);
  if (state === "absent") {
    context.fillStyle = colors.muted;
    for (let at = x; at < x + size; at += 5) context.fillRect(at, y + LANE_PX / 2 - 1, Math.min(3, x + size - at), 2);
  } else if (state === "hidden") {
    context.fillStyle = colors["lane-line"];
    context.fillRect(x, y + LANE_PX / 2 - 1, size, 2);
  } else {
    context.fillStyle = state === "tracked" ? scoreColor(colors, score, isLow(byte)) : colors["lane-top"];
    context.fillRect(x, y + 5, size, LANE_PX - 10);
    if (isLow(byte)) {
      context.fillStyle = colors.lane; // low scores leave the upper half of the lane
      context.fillRect(x, y + 3, size, LANE_PX / 2 - 4);
    }
  }
  if (accepted) {
    context.fillStyle = colors.accepted;
    context.fillRect(x, y + LANE_PX - 4, size, 3);
  }
}

/** @param {Colors} colors @param {number} score @param {boolean} low */
function scoreColor(colors, score, low) {
  if (score < 0.75) return low ? colors["lane-low"] : colors["lane-mid"];
  return score < 0.9 ? colors["lane-high"] : colors["lane-top"];
}

/**
 * Mark what the user gave: a diamond for prompts, a square for edits, a triangle for imports, a ring for proposals.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Colors} colors
 * @param {number} byte
 * @param {number} x of the middle
 * @param {number} y
 */
function drawMark(context, colors, byte, x, y) {
  const corners = MARKS[readCell(byte).state];
  context.beginPath();
  if (corners) tracePolygon(context, x, y, corners);
  else context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fillStyle = colors["lane-mark"];
  context.strokeStyle = colors.panel;
  context.lineWidth = 1.5;
  context.stroke();
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x of the middle
 * @param {number} y
 * @param {number[]} corners relative to the middle: x, y, …
 */
export function tracePolygon(context, x, y, corners) {
  for (let at = 0; at < corners.length; at += 2) context.lineTo(x + corners[at], y + corners[at + 1]);
  context.closePath();
}
