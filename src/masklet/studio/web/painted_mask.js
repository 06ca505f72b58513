/** Painted mask: keeps what was painted on the screen until the server's masks include it. */

import { equalRuns } from "./rle.js";

const RELEASE_MS = 500;

export class PaintedMask {
  /** @param {() => void} onDiscard called when other masks may replace the painted one */
  constructor(onDiscard) {
    this._onDiscard = onDiscard;
    /** Whether a stroke or its reply is awaited. */
    this._held = false;
    /** Masks that the painted one replaces. @type {Uint32Array[]} */
    this._replaced = [];
    this._releasing = 0;
  }

  hold() {
    this._held = true;
    clearTimeout(this._releasing); // of the stroke before
  }

  /** @param {Uint32Array} runs of a mask that the painted one replaces */
  replace(runs) {
    this._replaced.push(runs);
  }

  /** @param {Uint32Array} runs of a mask that is set @returns {boolean} whether the painted one stays instead */
  outlasts(runs) {
    return this._held || this._replaced.some((replaced) => equalRuns(replaced, runs));
  }

  /** Let other masks replace the painted one. Those that it replaced itself may still be set for half a second. */
  release() {
    this._held = false;
    clearTimeout(this._releasing);
    this._releasing = setTimeout(() => this.discard(), RELEASE_MS);
  }

  forget() {
    this._held = false;
    this._replaced = [];
    clearTimeout(this._releasing);
  }

  /** Replace the painted mask by the one that was set last. */
  discard() {
    this.forget();
    this._onDiscard();
  }
}
