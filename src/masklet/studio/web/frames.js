/**
 * Frames: loading of images and video frames from the server, with a cache and prefetching.
 *
 * @module
 */

/** @typedef {import("./rle.js").Size} Size */

/** A frame in memory. `size` is that of the original. @typedef {{medium: number, frame: number, size: Size, bitmap: ImageBitmap}} LoadedFrame */

/** Loads frames as bitmaps and keeps the most recently used ones. */
export class FrameLoader {
  /**
   * @param {object} [options]
   * @param {number} [options.budget] Bytes of bitmaps to keep.
   * @param {number} [options.maxSide] Pixels; larger frames are reduced by the server.
   * @param {typeof fetch} [options.fetch]
   * @param {(blob: Blob) => Promise<ImageBitmap>} [options.decode]
   */
  constructor(options = {}) {
    void options;
  }

  /**
   * Load a frame to display it.
   *
   * @param {{medium: number, frame: number, size: Size, frames: number}} wanted
   * @returns {Promise<LoadedFrame | null>} Null if a frame of a later call has arrived before. Rejects if the frame
   *   cannot be loaded.
   */
  async show(wanted) {
    void wanted;
    return null;
  }

  /**
   * Whether a frame can be displayed without loading.
   *
   * @param {number} medium
   * @param {number} frame
   */
  has(medium, frame) {
    void medium, frame;
    return false;
  }

  /** Stop loading and release all bitmaps. */
  dispose() {}
}
