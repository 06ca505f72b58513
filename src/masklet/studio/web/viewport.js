/**
 * Viewport: a WebGL2 canvas that shows an image, a label map of masks, and which can be panned and zoomed.
 *
 * @module
 */

/** @typedef {import("./rle.js").Size} Size */
/** @typedef {import("./image_view.js").ObjectMask} ObjectMask */

/** An image and masks, drawn with one program whatever the number of objects. */
export class Viewport {
  /** @param {HTMLElement} container An element with a size; the canvas fills it and follows its size. */
  constructor(container) {
    /** The canvas. It takes the pointer and can be focused. */
    this.canvas = document.createElement("canvas");
    container.append(this.canvas);
  }

  /**
   * Display an image.
   *
   * @param {ImageBitmap | HTMLImageElement | HTMLCanvasElement | HTMLVideoElement | ImageData} source
   * @param {Size} [size] Size of the original image, of which the source may be a reduced copy. By default the source's.
   * @param {boolean} [keepView] Keep zoom and position. By default if the size is that of the displayed image.
   */
  setImage(source, size, keepView) {
    void source, size, keepView;
  }

  /** Set the masks of the image. Later masks are drawn over earlier ones. @param {ObjectMask[]} masks @param {Size} size */
  setMasks(masks, size) {
    void masks, size;
  }

  /** @param {number | null} object Its mask is drawn over the others with a bright outline. @param {string} [color] */
  setActive(object, color) {
    void object, color;
  }

  /** @param {Uint32Array | null} runs A mask that is drawn with a dashed outline. @param {Size} [size] */
  setPreview(runs, size) {
    void runs, size;
  }

  /** @param {number | null} object An object whose fill is drawn brighter. */
  setHighlighted(object) {
    void object;
  }

  /** @param {number} opacity Opacity of fills, from 0 to 1. */
  setOpacity(opacity) {
    void opacity;
  }

  /** @param {boolean} only Draw outlines without fills. */
  setOutlineOnly(only) {
    void only;
  }

  /** Position on the page → pixels of the image, also outside it. @param {number} clientX @param {number} clientY */
  toImage(clientX, clientY) {
    return { x: clientX, y: clientY };
  }

  /** The topmost visible object at a pixel of the image, or null. @param {number} x @param {number} y @returns {number | null} */
  objectAt(x, y) {
    void x, y;
    return null;
  }

  /** @param {number} clientX @param {number} clientY @param {number} factor */
  zoomAt(clientX, clientY, factor) {
    void clientX, clientY, factor;
  }

  /** @param {number} dx CSS pixels @param {number} dy CSS pixels */
  panBy(dx, dy) {
    void dx, dy;
  }

  /** Show the whole image. */
  fit() {}

  /** Show one pixel of the image as one pixel of the screen. */
  actualSize() {}

  /** Draw in the next animation frame. */
  requestDraw() {}

  /** Release the textures and listeners. */
  dispose() {}
}
