/** Transform: position and zoom of an image in a view, of which positions are pixels of the screen, not CSS pixels. */

/** @import { Size } from "./rle.js" */

/** @typedef {[number, number, number, number]} Box x0, y0, x1, y1 */

const MAX_SCALE = 64; // screen pixels per pixel of the image
const MIN_OF_FIT = 0.25; // the smallest scale, as a part of that of the whole image
const MARGIN = 48; // screen pixels of the image that stay in the view

/** Maps pixels of the image to pixels of the screen: `screen = image × scale + (x, y)`. */
export class Transform {
  constructor() {
    this.scale = 1;
    this.x = 0; // of the image's left edge
    this.y = 0; // of its top edge
    /** Whether the whole image is shown, also after the size of the view changes. */
    this.fitted = true;
    /** @type {Size} */
    this.image = [1, 1];
    /** @type {Size} */
    this.view = [1, 1];
  }

  /** @param {number} x @param {number} y @returns {[number, number]} */
  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /** @param {number} x @param {number} y @returns {[number, number]} */
  toImage(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** Change the size of the view. What is at its center stays there. @param {Size} view */
  resize(view) {
    const [x, y] = this.toImage(this.view[1] / 2, this.view[0] / 2);
    this.view = view;
    if (this.fitted) this.fit();
    else this.center(x, y);
  }

  /** Change the image. @param {Size} image @param {boolean} keep Whether the same part of the image stays visible. */
  setImage(image, keep) {
    const [h, w] = this.image;
    const [x, y] = this.toImage(this.view[1] / 2, this.view[0] / 2);
    this.image = image;
    if (!keep || this.fitted) this.fit();
    else {
      this.scale *= w / image[1];
      this.center((x * image[1]) / w, (y * image[0]) / h);
    }
  }

  /** Show the whole image in the middle of the view. */
  fit() {
    this.scale = this.fitScale();
    this.x = (this.view[1] - this.image[1] * this.scale) / 2;
    this.y = (this.view[0] - this.image[0] * this.scale) / 2;
    this.fitted = true;
  }

  fitScale() {
    return Math.min(this.view[0] / this.image[0], this.view[1] / this.image[1], MAX_SCALE);
  }

  /** @param {number} x The position of the view whose pixel stays there. @param {number} y @param {number} factor */
  zoomAt(x, y, factor) {
    const smallest = Math.min(1, this.fitScale() * MIN_OF_FIT);
    const scale = Math.min(MAX_SCALE, Math.max(smallest, this.scale * factor));
    const ratio = scale / this.scale;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.fitted = false;
    this.keepVisible();
  }

  /** @param {number} dx @param {number} dy */
  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.keepVisible();
  }

  /** Move a pixel of the image to the center of the view. @param {number} x @param {number} y */
  center(x, y) {
    this.x = this.view[1] / 2 - x * this.scale;
    this.y = this.view[0] / 2 - y * this.scale;
    this.fitted = false;
    this.keepVisible();
  }

  /** Move the image back so that a part of it stays in the view. */
  keepVisible() {
    this.x = limit(this.x, this.view[1], this.image[1] * this.scale);
    this.y = limit(this.y, this.view[0], this.image[0] * this.scale);
  }

  /** @returns {Box} The visible part of the image. */
  visible() {
    const [x0, y0] = this.toImage(0, 0);
    const [x1, y1] = this.toImage(this.view[1], this.view[0]);
    const [h, w] = this.image;
    return [Math.max(0, x0), Math.max(0, y0), Math.min(w, x1), Math.min(h, y1)];
  }
}

/** Make the image and the view overlap. @param {number} offset @param {number} view @param {number} image */
function limit(offset, view, image) {
  const margin = Math.min(MARGIN, view / 2, image / 2);
  return Math.min(view - margin, Math.max(margin - image, offset));
}
