/** Frames: loads images and video frames as bitmaps, keeps the most recently used ones, and prefetches. */

/** @import { Shown } from "./image_view.js" */
/** @import { Size } from "./rle.js" */
/** @import { Box } from "./transform.js" */

/** A frame in memory. `size` is that of the original. @typedef {{medium: number, frame: number, size: Size, bitmap: ImageBitmap}} LoadedFrame */

/** @typedef {{promise: Promise<ImageBitmap>, abort: AbortController, wanted: boolean}} Transfer */

const BUDGET = 384 * 2 ** 20; // bytes of bitmaps
const MAX_AHEAD = 8; // frames in the direction of travel
const MAX_BEHIND = 1;
const MAX_PREFETCHES = 2; // at a time
const MAX_WANTED = 3; // frames that are loaded at a time while the user steps

export class FrameLoader {
  /**
   * @param {object} [options]
   * @param {number} [options.budget] Bytes of bitmaps to keep.
   * @param {number} [options.maxSide] Pixels; larger frames are reduced by the server.
   * @param {typeof fetch} [options.fetch]
   * @param {(blob: Blob) => Promise<ImageBitmap>} [options.decode]
   */
  constructor({ budget = BUDGET, maxSide = 4096, fetch: load = fetch.bind(globalThis), decode = decodeImage } = {}) {
    this._budget = budget;
    this._maxSide = maxSide;
    this._fetch = load;
    this._decode = decode;
    /** The least recently used bitmap first. @type {Map<string, ImageBitmap>} */
    this._cache = new Map();
    /** @type {Map<string, Transfer>} */
    this._transfers = new Map();
    /** @type {Shown[]} */
    this._queue = [];
    this._prefetches = 0;
    this._turn = 0;
    this._shownTurn = 0;
    /** @type {Shown | null} */
    this._last = null;
    this._direction = 1;
    /** @type {AbortController | null} */
    this._part = null;
  }

  /**
   * Load a frame to display it. Frames that arrive in the order of the calls are all displayed; the last one always is.
   *
   * @param {Shown} shown
   * @returns {Promise<LoadedFrame | null>} Null if a frame of a later call was there first, or the transfer was stopped.
   *   Rejects if the frame cannot be loaded, unless a later call was made.
   */
  async show(shown) {
    const turn = ++this._turn;
    this._follow(shown);
    this._queue = [];
    const neighbors = this._neighbors(shown);
    this._stopOthers(shown, neighbors);
    try {
      const bitmap = await this._load(shown, true);
      if (turn < this._shownTurn) return null;
      this._shownTurn = turn;
      if (turn === this._turn) this.prefetch(neighbors);
      return { medium: shown.medium, frame: shown.frame, size: shown.size, bitmap };
    } catch (problem) {
      if (turn < this._turn) return null;
      throw problem;
    }
  }

  /** @param {Shown[]} frames that are likely to be shown next, the most likely one first */
  prefetch(frames) {
    this._queue = [...this._queue, ...frames].filter((one) => !this.has(one.medium, one.frame));
    this._prefetchNext();
  }

  /** Whether a frame can be displayed without loading. @param {number} medium @param {number} frame */
  has(medium, frame) {
    return this._cache.has(keyOf({ medium, frame }));
  }

  /**
   * Load a part of a frame, instead of the part that is being loaded.
   *
   * @param {number} medium
   * @param {number} frame
   * @param {Box} box In pixels of the frame.
   * @param {number} width The largest width of the bitmap, in pixels.
   * @returns {Promise<ImageBitmap | null>} Null if it was stopped or failed.
   */
  async loadPart(medium, frame, box, width) {
    this.stopPart();
    const abort = new AbortController();
    this._part = abort;
    try {
      const url = `${urlOf(medium, frame)}?region=${box.join(",")}&width=${width}`;
      const bitmap = await this._transfer(url, abort.signal);
      return abort.signal.aborted ? null : bitmap;
    } catch {
      return null;
    }
  }

  stopPart() {
    this._part?.abort();
    this._part = null;
  }

  /** @param {Shown} shown @param {boolean} wanted Whether it is to be displayed. @returns {Promise<ImageBitmap>} */
  async _load(shown, wanted) {
    const key = keyOf(shown);
    const cached = this._cache.get(key);
    if (cached) {
      this._cache.delete(key);
      this._cache.set(key, cached);
      return cached;
    }
    let transfer = this._transfers.get(key);
    if (!transfer) {
      const abort = new AbortController();
      const side = Math.max(...shown.size);
      const width = Math.max(1, Math.floor((shown.size[1] * this._maxSide) / side));
      const url = urlOf(shown.medium, shown.frame) + (side > this._maxSide ? `?width=${width}` : "");
      transfer = { promise: this._transfer(url, abort.signal, wanted), abort, wanted };
      this._transfers.set(key, transfer);
    }
    transfer.wanted ||= wanted;
    try {
      const bitmap = await transfer.promise;
      if (this._transfers.get(key) === transfer) this._keep(key, bitmap);
      return bitmap;
    } finally {
      if (this._transfers.get(key) === transfer) this._transfers.delete(key);
    }
  }

  /** @param {string} url @param {AbortSignal} signal @param {boolean} [urgent] */
  async _transfer(url, signal, urgent = true) {
    const init = /** @type {RequestInit} */ ({ signal, credentials: "same-origin", priority: urgent ? "high" : "low" });
    const response = await this._fetch(url, init);
    if (!response.ok) throw new Error(await problemOf(response));
    return this._decode(await response.blob());
  }

  /**
   * Stop other prefetches than of the neighbors, and the oldest of many wanted frames.
   *
   * @param {Shown} shown
   * @param {Shown[]} neighbors
   */
  _stopOthers(shown, neighbors) {
    const needed = new Set([shown, ...neighbors].map(keyOf));
    const others = [...this._transfers].filter(([key]) => key !== keyOf(shown));
    const wanted = others.filter(([, transfer]) => transfer.wanted);
    const excess = wanted.slice(0, Math.max(0, wanted.length - MAX_WANTED + 1));
    const useless = others.filter(([key, transfer]) => !transfer.wanted && !needed.has(key));
    for (const [key, { abort }] of [...useless, ...excess]) {
      abort.abort();
      this._transfers.delete(key);
    }
  }

  /** @param {string} key @param {ImageBitmap} bitmap */
  _keep(key, bitmap) {
    this._cache.set(key, bitmap);
    let bytes = 0;
    for (const one of this._cache.values()) bytes += bytesOf(one);
    for (const [oldest, one] of this._cache) {
      if (bytes <= this._budget) break;
      if (oldest === key || (this._last && oldest === keyOf(this._last))) continue; // it is displayed, or will be
      bytes -= bytesOf(one);
      this._cache.delete(oldest);
      one.close();
    }
  }

  /** @param {Shown} shown */
  _follow(shown) {
    const last = this._last;
    if (last?.medium === shown.medium && last.frame !== shown.frame) this._direction = Math.sign(shown.frame - last.frame);
    if (last?.medium !== shown.medium) this._direction = 1;
    this._last = shown;
  }

  /**
   * @param {Shown} shown
   * @returns {Shown[]} The frames to prefetch: several ahead and one behind, at most half of the cache.
   */
  _neighbors(shown) {
    const { frame, frames, size } = shown;
    const factor = Math.min(1, this._maxSide / Math.max(...size));
    const fitting = Math.floor(this._budget / 2 / (size[0] * size[1] * factor * factor * 4));
    const steps = [];
    for (let step = 1; step <= Math.min(MAX_AHEAD, fitting); step++) steps.push(step * this._direction);
    for (let step = 1; step <= Math.min(MAX_BEHIND, fitting - MAX_AHEAD); step++) steps.push(-step * this._direction);
    const indices = steps.map((step) => frame + step).filter((index) => index >= 0 && index < frames);
    return indices.map((index) => ({ ...shown, frame: index }));
  }

  async _prefetchNext() {
    if (this._prefetches >= MAX_PREFETCHES) return;
    const next = this._queue.shift();
    if (!next) return;
    this._prefetches++;
    const loading = this._load(next, false);
    this._prefetchNext();
    try {
      await loading;
    } catch {
      // it is loaded again when it is shown
    }
    this._prefetches--;
    this._prefetchNext();
  }
}

/** @param {{medium: number, frame: number}} shown */
export function keyOf({ medium, frame }) {
  return `${medium}/${frame}`;
}

/** @param {number} medium @param {number} frame */
function urlOf(medium, frame) {
  return `/frames/${medium}/${frame}`;
}

/** @param {ImageBitmap} bitmap */
function bytesOf(bitmap) {
  return bitmap.width * bitmap.height * 4;
}

/** @param {Blob} blob */
function decodeImage(blob) {
  return createImageBitmap(blob, { premultiplyAlpha: "none" });
}

/** @param {Response} response @returns {Promise<string>} The detail of the problem, or the status. */
async function problemOf(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
  } catch {
    // no JSON
  }
  return `The frame cannot be loaded (HTTP ${response.status}).`;
}
