/**
 * Label map: the masks of a frame as one array of 16 bits per pixel, as the shader reads it.
 *
 * Bits 0 to 13 are the slot of the topmost object, 0 for none. Bit 14 is the mask of the active object and bit 15 that of
 * the preview, so that both are drawn over all others whatever their order.
 */

import { decodeRuns, encodeRuns, equalRuns, equalSizes, forEachRun } from "./rle.js";

/** @import { Size } from "./rle.js" */

const SLOT_BITS = 0x3fff;
export const ACTIVE_BIT = 0x4000;
export const PREVIEW_BIT = 0x8000;

export const TILE = 8; // side in pixels
export const MIXED = 0xffff; // value of a tile with several labels in it or around it
const MAX_SLOT = SLOT_BITS - 1; // so that no label is MIXED

const NO_RUNS = new Uint32Array(0);

/** A mask in the map. @typedef {{object: number, runs: Uint32Array}} Entry */
/** A part of the map that has changed, in pixels. @typedef {{x: number, y: number, width: number, height: number}} Rectangle */

export class LabelMap {
  constructor() {
    this.height = 0;
    this.width = 0;
    /** height × width values in rows. */
    this.data = new Uint16Array(0);
    /** The label of each tile that has one label, as have the tiles around it; else MIXED. */
    this.tiles = new Uint16Array(0);
    this.tileRows = 0;
    this.tileColumns = 0;
    /** The label of each tile that has one label, else MIXED. */
    this._blocks = new Uint16Array(0);
    /** Slots of the objects in the map. @type {Map<number, number>} */
    this.slots = new Map();
    /** @type {number[]} */
    this._objects = [];
    /** @type {Entry[]} */
    this._entries = [];
    /** @type {Uint32Array} */
    this._active = NO_RUNS;
    /** @type {Uint32Array} */
    this._preview = NO_RUNS;
    /** @type {Rectangle | null} */
    this._dirty = null;
  }

  /** Change the size, which removes all masks. @param {Size} size */
  resize([height, width]) {
    if (height === this.height && width === this.width) return;
    this.height = height;
    this.width = width;
    this.data = new Uint16Array(height * width);
    this.tileRows = Math.ceil(height / TILE);
    this.tileColumns = Math.ceil(width / TILE);
    this._blocks = new Uint16Array(this.tileRows * this.tileColumns);
    this.tiles = new Uint16Array(this.tileRows * this.tileColumns);
    this._entries = [];
    this._active = this._preview = NO_RUNS;
    this._dirty = null;
    this._mark(0, 0, width, height);
  }

  /**
   * Set the masks of all objects but the active one. Only rows of changed masks are written.
   *
   * @param {Entry[]} entries Later ones are over earlier ones.
   */
  setMasks(entries) {
    const [top, bottom] = this._changedRows(entries);
    this._entries = entries.map(({ object, runs }) => ({ object, runs }));
    this._assignSlots();
    if (bottom <= top) return;
    const start = top * this.width;
    const stop = bottom * this.width;
    const data = this.data;
    for (let index = start; index < stop; index++) data[index] &= ACTIVE_BIT | PREVIEW_BIT;
    for (const { object, runs } of this._entries) this._draw(runs, this.slots.get(object) ?? 0, start, stop);
    this._mark(0, top, this.width, bottom - top);
  }

  /** Set the mask of the active object. @param {Uint32Array | null} runs */
  setActive(runs) {
    if (equalRuns(this._active, runs ?? NO_RUNS)) return;
    this._setBit(this._active, runs ?? NO_RUNS, ACTIVE_BIT);
    this._active = runs ?? NO_RUNS;
  }

  /** The mask of the active object, without an unfinished stroke. */
  get active() {
    return this._active;
  }

  /** Set the mask of the preview. @param {Uint32Array | null} runs */
  setPreview(runs) {
    if (equalRuns(this._preview, runs ?? NO_RUNS)) return;
    this._setBit(this._preview, runs ?? NO_RUNS, PREVIEW_BIT);
    this._preview = runs ?? NO_RUNS;
  }

  /**
   * Add pixels to the active mask, or remove them: those whose center is within a distance of a line.
   *
   * Several calls are one stroke, which `finishStroke` ends.
   *
   * @param {readonly [number, number]} from (x, y) in pixels of the map.
   * @param {readonly [number, number]} to
   * @param {number} radius
   * @param {boolean} add
   */
  paint(from, to, radius, add) {
    const top = Math.max(0, Math.floor(Math.min(from[1], to[1]) - radius));
    const bottom = Math.min(this.height, Math.ceil(Math.max(from[1], to[1]) + radius));
    let left = this.width;
    let right = 0;
    for (let y = top; y < bottom; y++) {
      const span = capsuleSpan(y + 0.5, from, to, radius);
      if (!span) continue;
      const start = Math.max(0, Math.ceil(span[0] - 0.5));
      const stop = Math.min(this.width, Math.floor(span[1] - 0.5) + 1);
      if (start >= stop) continue;
      this._writeBit(y * this.width + start, y * this.width + stop, ACTIVE_BIT, add);
      left = Math.min(left, start);
      right = Math.max(right, stop);
    }
    if (right > left) this._mark(left, top, right - left, bottom - top);
  }

  /** Read the active mask after painting. @returns {Uint32Array} */
  finishStroke() {
    this._active = encodeRuns(this.data, this.height, this.width, ACTIVE_BIT);
    return this._active;
  }

  /** Restore the active mask as it was before painting. */
  cancelStroke() {
    this._writeBit(0, this.data.length, ACTIVE_BIT, false);
    forEachRun(this._active, (start, end) => this._writeBit(start, end, ACTIVE_BIT, true));
    this._mark(0, 0, this.width, this.height);
  }

  /** @param {number} x @param {number} y @returns {number | null} The topmost object but the active one. */
  objectAt(x, y) {
    const slot = this._valueAt(x, y) & SLOT_BITS;
    return slot ? this._objects[slot] : null;
  }

  /** Whether a pixel belongs to the active mask. @param {number} x @param {number} y */
  isActiveAt(x, y) {
    return (this._valueAt(x, y) & ACTIVE_BIT) !== 0;
  }

  /** @returns {{labels: Rectangle, tiles: Rectangle} | null} What has changed of `data` and `tiles` since the last call. */
  takeDirty() {
    const dirty = this._dirty;
    this._dirty = null;
    return dirty && { labels: dirty, tiles: this._updateTiles(dirty) };
  }

  markAll() {
    this._mark(0, 0, this.width, this.height);
  }

  /** @param {Rectangle} changed Pixels @returns {Rectangle} The tiles that were computed. */
  _updateTiles({ x, y, width, height }) {
    const [left, right] = [Math.floor(x / TILE), Math.ceil((x + width) / TILE)];
    const [top, bottom] = [Math.floor(y / TILE), Math.ceil((y + height) / TILE)];
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        this._blocks[row * this.tileColumns + column] = this._blockLabel(row, column);
      }
    }
    const around = {
      x: Math.max(0, left - 1),
      y: Math.max(0, top - 1),
      right: Math.min(this.tileColumns, right + 1),
      bottom: Math.min(this.tileRows, bottom + 1),
    };
    for (let row = around.y; row < around.bottom; row++) {
      for (let column = around.x; column < around.right; column++) {
        this.tiles[row * this.tileColumns + column] = this._tileLabel(row, column);
      }
    }
    return { x: around.x, y: around.y, width: around.right - around.x, height: around.bottom - around.y };
  }

  /** @param {number} row @param {number} column */
  _blockLabel(row, column) {
    const { data, width } = this;
    const right = Math.min(width, (column + 1) * TILE);
    const bottom = Math.min(this.height, (row + 1) * TILE);
    const label = data[row * TILE * width + column * TILE];
    for (let y = row * TILE; y < bottom; y++) {
      for (let index = y * width + column * TILE; index < y * width + right; index++) {
        if (data[index] !== label) return MIXED;
      }
    }
    return label;
  }

  /** @param {number} row @param {number} column */
  _tileLabel(row, column) {
    const label = this._blocks[row * this.tileColumns + column];
    for (let y = row - 1; y <= row + 1; y++) {
      for (let x = column - 1; x <= column + 1; x++) {
        const inside = y >= 0 && x >= 0 && y < this.tileRows && x < this.tileColumns;
        if ((inside ? this._blocks[y * this.tileColumns + x] : 0) !== label) return MIXED;
      }
    }
    return label;
  }

  /** @param {number} x @param {number} y */
  _valueAt(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return 0;
    return this.data[Math.floor(y) * this.width + Math.floor(x)];
  }

  /**
   * @param {Entry[]} entries
   * @returns {[number, number]} The first row in which the masks differ from the present ones, and the row after the last.
   */
  _changedRows(entries) {
    let [top, bottom] = [this.height, 0];
    /** @param {Uint32Array} runs */
    const include = (runs) => {
      const [first, last] = this._rows(runs);
      top = Math.min(top, first);
      bottom = Math.max(bottom, last);
    };
    const before = new Map(this._entries.map((entry, index) => [entry.object, { runs: entry.runs, index }]));
    let previous = -1;
    for (const { object, runs } of entries) {
      const old = before.get(object);
      if (old && old.index > previous && equalRuns(old.runs, runs)) previous = old.index;
      else {
        include(runs);
        if (old) include(old.runs);
      }
      before.delete(object);
    }
    for (const { runs } of before.values()) include(runs);
    return [top, bottom];
  }

  /**
   * @param {Uint32Array} runs
   * @returns {[number, number]} The first row of a mask and the row after its last one; equal rows for an empty mask.
   */
  _rows(runs) {
    let first = -1;
    let last = 0;
    forEachRun(runs, (start, end) => {
      if (first < 0) first = start;
      last = end;
    });
    if (first < 0) return [this.height, 0];
    return [Math.floor(first / this.width), Math.min(this.height, Math.ceil(last / this.width))];
  }

  /** Give each object a slot, and keep those that it has. */
  _assignSlots() {
    const present = new Set(this._entries.map(({ object }) => object));
    for (const object of this.slots.keys()) if (!present.has(object)) this.slots.delete(object);
    const used = new Set(this.slots.values());
    let slot = 1;
    for (const object of present) {
      if (this.slots.has(object)) continue;
      while (used.has(slot)) slot++;
      if (slot > MAX_SLOT) break;
      this.slots.set(object, slot);
      used.add(slot);
    }
    this._objects = [];
    for (const [object, own] of this.slots) this._objects[own] = object;
  }

  /**
   * @param {Uint32Array} runs
   * @param {number} slot
   * @param {number} from The first pixel to write.
   * @param {number} to The pixel after the last.
   */
  _draw(runs, slot, from, to) {
    const data = this.data;
    forEachRun(runs, (start, end) => {
      const stop = Math.min(end, to);
      for (let index = Math.max(start, from); index < stop; index++) data[index] = (data[index] & ~SLOT_BITS) | slot;
    });
  }

  /** @param {Uint32Array} before @param {Uint32Array} after @param {number} bit */
  _setBit(before, after, bit) {
    forEachRun(before, (start, end) => this._writeBit(start, end, bit, false));
    forEachRun(after, (start, end) => this._writeBit(start, end, bit, true));
    const [top, bottom] = this._rows(before);
    const [otherTop, otherBottom] = this._rows(after);
    const first = Math.min(top, otherTop);
    this._mark(0, first, this.width, Math.max(bottom, otherBottom) - first);
  }

  /** @param {number} start @param {number} end @param {number} bit @param {boolean} value */
  _writeBit(start, end, bit, value) {
    const data = this.data;
    const stop = Math.min(end, data.length);
    if (value) for (let index = start; index < stop; index++) data[index] |= bit;
    else for (let index = start; index < stop; index++) data[index] &= ~bit;
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  _mark(x, y, width, height) {
    if (width <= 0 || height <= 0) return;
    const old = this._dirty ?? { x, y, width, height };
    const left = Math.min(old.x, x);
    const top = Math.min(old.y, y);
    const right = Math.max(old.x + old.width, x + width);
    const bottom = Math.max(old.y + old.height, y + height);
    this._dirty = { x: left, y: top, width: right - left, height: bottom - top };
  }
}

/**
 * The part of a row within a distance of a line segment.
 *
 * @param {number} y The row.
 * @param {readonly [number, number]} from
 * @param {readonly [number, number]} to
 * @param {number} radius
 * @returns {[number, number] | null} The first and last x.
 */
export function capsuleSpan(y, from, to, radius) {
  let [low, high] = [Infinity, -Infinity];
  for (const [cx, cy] of [from, to]) {
    const square = radius * radius - (y - cy) * (y - cy);
    if (square < 0) continue;
    low = Math.min(low, cx - Math.sqrt(square));
    high = Math.max(high, cx + Math.sqrt(square));
  }
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  if (length > 0 && dy !== 0) {
    // The two long sides of the rectangle between the circles.
    const [nx, ny] = [(-dy / length) * radius, (dx / length) * radius];
    for (const sign of [1, -1]) {
      const along = (y - from[1] - sign * ny) / dy;
      if (along < 0 || along > 1) continue;
      const x = from[0] + sign * nx + along * dx;
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
  }
  return low <= high ? [low, high] : null;
}

/** Take the nearest pixels. @param {Uint32Array} runs @param {Size} from @param {Size} to @returns {Uint32Array} */
export function resizeRuns(runs, from, to) {
  if (equalSizes(from, to)) return runs;
  const source = decodeRuns(runs, from[0], from[1]);
  const resized = new Uint8Array(to[0] * to[1]);
  for (let y = 0; y < to[0]; y++) {
    const row = Math.min(from[0] - 1, Math.floor(((y + 0.5) * from[0]) / to[0])) * from[1];
    for (let x = 0; x < to[1]; x++) {
      resized[y * to[1] + x] = source[row + Math.min(from[1] - 1, Math.floor(((x + 0.5) * from[1]) / to[1]))];
    }
  }
  return encodeRuns(resized, to[0], to[1]);
}
