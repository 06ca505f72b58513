/** Sharpener: loads the visible part of images that are larger than a texture, when the view rests on it enlarged. */

/** @import { FrameLoader } from "./frames.js" */
/** @import { Size } from "./rle.js" */
/** @import { Box } from "./transform.js" */
/** @import { Viewport } from "./viewport.js" */

const MARGIN = 0.1; // around the visible part, as a fraction of its sides
const ENOUGH = 0.8; // pixels of a copy per pixel of the screen or of the original

export class Sharpener {
  /** @param {Viewport} viewport @param {FrameLoader} loader */
  constructor(viewport, loader) {
    this._viewport = viewport;
    this._loader = loader;
    /** @type {{medium: number, frame: number, size: Size} | null} */
    this._shown = null;
    this._density = 1;
    /** @type {{box: Box, density: number} | null} */
    this._part = null;
    viewport.on("rest", () => this._update());
    viewport.on("restored", () => this._forget());
  }

  /** @param {{medium: number, frame: number, size: Size}} shown @param {number} width Of the bitmap, in pixels. */
  setFrame(shown, width) {
    this._shown = shown;
    this._density = width / shown.size[1];
    this._loader.stopPart();
    this._part = null;
  }

  _forget() {
    this._part = null;
    this._update();
  }

  async _update() {
    const shown = this._shown;
    const { transform, maxSide } = this._viewport;
    if (!shown || this._density >= 1) return;
    const needed = Math.min(1, transform.scale);
    if (this._density >= needed * ENOUGH) return;
    const visible = transform.visible();
    if (this._part && contains(this._part.box, visible) && this._part.density >= needed * ENOUGH) return;
    const plan = planPart(visible, shown.size, needed, maxSide);
    const bitmap = await this._loader.loadPart(shown.medium, shown.frame, plan.box, plan.width);
    if (!bitmap || this._shown !== shown) return;
    this._part = { box: plan.box, density: bitmap.width / (plan.box[2] - plan.box[0]) };
    this._viewport.setPart(bitmap, plan.box);
  }
}

/**
 * Plan the part of an image to load.
 *
 * @param {Box} visible In pixels of the image.
 * @param {Size} size Of the image.
 * @param {number} density Pixels of the copy per pixel of the image.
 * @param {number} maxSide Of the copy.
 * @returns {{box: Box, width: number}} A box with a margin, in whole pixels, and the width of the copy.
 */
export function planPart([x0, y0, x1, y1], [height, width], density, maxSide) {
  const [dx, dy] = [(x1 - x0) * MARGIN, (y1 - y0) * MARGIN];
  /** @type {Box} */
  const box = [
    Math.max(0, Math.floor(x0 - dx)),
    Math.max(0, Math.floor(y0 - dy)),
    Math.min(width, Math.ceil(x1 + dx)),
    Math.min(height, Math.ceil(y1 + dy)),
  ];
  const [w, h] = [box[2] - box[0], box[3] - box[1]];
  const limited = Math.min(density, maxSide / w, maxSide / h);
  return { box, width: Math.max(1, Math.floor(w * limited + 1e-6)) };
}

/** @param {Box} outer @param {Box} inner */
function contains(outer, inner) {
  return outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3];
}
