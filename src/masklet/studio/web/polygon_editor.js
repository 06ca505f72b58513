/** Polygon editor: polygons with vertices that can be moved, inserted and removed, and one that is being drawn. */

import { drawSquare, strokeTwice } from "./overlay_canvas.js";
import { nearest } from "./prompt_overlay.js";

/** @import { Context, ToView } from "./overlay_canvas.js" */
/** @import { Polygon, Position } from "./tools/actions.js" */

/** A vertex, or the edge before it. @typedef {{kind: "vertex" | "edge", polygon: number, vertex: number}} PolygonHit */

const VERTEX_SIDE = 7;
const VERTEX_REACH = 9; // CSS pixels
const VERTEX_REACH_OF_TOUCH = 20;
const EDGE_REACH = 6;
const EDGE_REACH_OF_TOUCH = 12;
const VERTEX_SPACING = 6; // CSS pixels between two drawn vertices
const MIN_VERTICES = 3;
const LINE = "#ffffff";
const SELECTED = "#ffd400";

export class PolygonEditor {
  constructor() {
    /** @type {Polygon[]} */
    this.polygons = [];
    /** Vertices of a polygon that is being drawn. @type {Polygon | null} */
    this.draft = null;
    /** The end of the draft's last edge. @type {Position | null} */
    this.cursor = null;
    /** @type {PolygonHit | null} */
    this.hovered = null;
    /** @type {PolygonHit | null} */
    this.selected = null;
    this.isVisible = false;
  }

  /** @param {Polygon[]} polygons */
  setPolygons(polygons) {
    this.polygons = polygons.map((polygon) => polygon.map(([x, y]) => [x, y]));
    this.hovered = this.selected = null;
  }

  /**
   * What is at a position of the view: the nearest vertex, else the nearest edge.
   *
   * @param {number} left CSS pixels
   * @param {number} top CSS pixels
   * @param {boolean} touch
   * @param {ToView} toView
   * @returns {PolygonHit | null}
   */
  hit(left, top, touch, toView) {
    const reach = touch ? VERTEX_REACH_OF_TOUCH : VERTEX_REACH;
    /** @type {PolygonHit | null} */
    let found = null;
    let least = reach;
    let leastEdge = touch ? EDGE_REACH_OF_TOUCH : EDGE_REACH;
    /** @type {PolygonHit | null} */
    let edge = null;
    this.polygons.forEach((polygon, index) => {
      const positions = polygon.map(([x, y]) => toView(x, y));
      const vertex = nearest(positions, left, top, least);
      if (vertex >= 0) {
        found = { kind: "vertex", polygon: index, vertex };
        least = Math.hypot(positions[vertex][0] - left, positions[vertex][1] - top);
      }
      positions.forEach((end, at) => {
        const distance = distanceToSegment([left, top], positions.at(at - 1) ?? end, end);
        if (distance > leastEdge) return;
        leastEdge = distance;
        edge = { kind: "edge", polygon: index, vertex: at };
      });
    });
    return found ?? edge;
  }

  /** @param {PolygonHit} edge @param {Position} position @returns {PolygonHit} The inserted vertex. */
  insertVertex({ polygon, vertex }, position) {
    this.polygons[polygon].splice(vertex, 0, position);
    return { kind: "vertex", polygon, vertex };
  }

  /** @param {PolygonHit} hit @param {Position} position */
  moveVertex({ polygon, vertex }, position) {
    this.polygons[polygon][vertex] = position;
  }

  /** Remove a vertex; the whole polygon if fewer than three remain. @param {PolygonHit} hit */
  removeVertex({ polygon, vertex }) {
    this.polygons[polygon].splice(vertex, 1);
    if (this.polygons[polygon].length < MIN_VERTICES) this.polygons.splice(polygon, 1);
    this.hovered = this.selected = null;
  }

  /** Add a vertex to the draft, which begins with the first one. @param {Position} position */
  addToDraft(position) {
    this.draft = [...(this.draft ?? []), position];
  }

  shortenDraft() {
    this.draft?.pop();
    if (!this.draft?.length) this.cancelDraft();
  }

  cancelDraft() {
    this.draft = this.cursor = null;
  }

  /** Turn the draft into a polygon. @returns {boolean} Whether it has enough vertices. */
  closeDraft() {
    if (!this.draft || this.draft.length < MIN_VERTICES) return false;
    this.polygons.push(this.draft);
    this.cancelDraft();
    return true;
  }

  isEmpty() {
    return !this.isVisible || (this.polygons.length === 0 && !this.draft);
  }

  /** @param {Context} context @param {ToView} toView */
  draw(context, toView) {
    this.polygons.forEach((polygon, index) => {
      const positions = polygon.map(([x, y]) => toView(x, y));
      trace(context, positions, true);
      strokeTwice(context, LINE);
      this._drawVertices(context, positions, index);
    });
    if (!this.draft) return;
    const positions = this.draft.map(([x, y]) => toView(x, y));
    trace(context, this.cursor ? [...positions, toView(...this.cursor)] : positions, false);
    strokeTwice(context, LINE);
    positions.forEach((position, index) => drawSquare(context, position, index === 0 ? SELECTED : LINE, VERTEX_SIDE));
  }

  /**
   * Draw the vertices that are apart on the screen.
   *
   * @param {Context} context
   * @param {[number, number][]} positions
   * @param {number} polygon
   */
  _drawVertices(context, positions, polygon) {
    let [lastX, lastY] = [-Infinity, -Infinity];
    positions.forEach(([x, y], vertex) => {
      /** @param {PolygonHit | null} hit */
      const is = (hit) => hit?.kind === "vertex" && hit.polygon === polygon && hit.vertex === vertex;
      const marked = is(this.hovered) || is(this.selected);
      if (!marked && Math.hypot(x - lastX, y - lastY) < VERTEX_SPACING) return;
      [lastX, lastY] = [x, y];
      const color = is(this.selected) ? SELECTED : LINE;
      drawSquare(context, [x, y], color, is(this.hovered) ? VERTEX_SIDE * 1.5 : VERTEX_SIDE);
    });
  }
}

/** @param {[number, number]} point @param {[number, number]} from @param {[number, number]} to @returns {number} */
export function distanceToSegment([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const square = dx * dx + dy * dy;
  const along = square ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / square)) : 0;
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}

/** @param {Context} context @param {[number, number][]} positions @param {boolean} closed */
function trace(context, positions, closed) {
  context.beginPath();
  for (const [x, y] of positions) context.lineTo(x, y);
  if (closed) context.closePath();
}
