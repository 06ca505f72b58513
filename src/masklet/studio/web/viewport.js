/** Viewport: a WebGL2 canvas that shows an image and a label map of masks, and which can be panned and zoomed. */

import { Emitter } from "./emitter.js";
import { LabelMap, resizeRuns } from "./label_map.js";
import { PaintedMask } from "./painted_mask.js";
import { Renderer } from "./renderer.js";
import { equalSizes } from "./rle.js";
import { Transform } from "./transform.js";

/** @import { Size } from "./rle.js" */
/** @import { Box } from "./transform.js" */

/**
 * A mask of an object on the displayed image.
 *
 * @typedef {object} ObjectMask
 * @property {number} object
 * @property {Uint32Array} runs
 * @property {string} color "#rrggbb"
 * @property {boolean} [hidden] Whether the mask is neither drawn nor selected by clicks.
 * @property {boolean} [locked] Whether the mask is drawn with a faint outline and cannot be painted.
 */

const MAX_SIDE = 4096; // pixels of images and masks on the graphics card
const NEW_COLOR = "#2f9bff";
const LOCKED_STRENGTH = 0.55;
const REST_MS = 100;
const NO_RUNS = new Uint32Array(0);

export class Viewport extends Emitter {
  /** @param {HTMLElement} container that the canvas fills */
  constructor(container) {
    super();
    this.container = container;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Image");
    Object.assign(this.canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%", touchAction: "none" });
    if (getComputedStyle(container).position === "static") container.style.position = "relative";
    container.append(this.canvas);

    this.transform = new Transform();
    this.labels = new LabelMap();
    /** @type {Renderer | null} */
    this._renderer = Renderer.create(this.canvas);
    if (!this._renderer) showProblem(container);
    /** @type {ImageBitmap | null} */
    this._source = null;
    /** @type {ObjectMask[]} */
    this._masks = [];
    /** @type {Size} */
    this._maskSize = [1, 1];
    /** @type {number | null} */
    this._active = null;
    this._activeColor = NEW_COLOR;
    /** @type {number | null} */
    this._highlighted = null;
    this._opacity = 0.4;
    this._outlineOnly = false;
    this._masksVisible = true;
    this._painted = new PaintedMask(() => this._compose());
    this._drawing = 0;
    this._reporting = 0;
    this._scale = 0;
    this._follow();
  }

  /** Pixels of the screen per CSS pixel. */
  get pixelRatio() {
    return window.devicePixelRatio || 1;
  }

  get hasImage() {
    return this._source !== null;
  }

  /** Size of the original image. @returns {Size} */
  get imageSize() {
    return this.transform.image;
  }

  /** The largest side of a texture in pixels. */
  get maxSide() {
    return Math.min(MAX_SIDE, this._renderer?.maxSide ?? MAX_SIDE);
  }

  /**
   * Display an image. Zoom and position stay if its size is that of the displayed one.
   *
   * @param {ImageBitmap} source
   * @param {Size} size Of the original image, of which the source may be a reduced copy.
   */
  setImage(source, size) {
    const same = equalSizes(size, this.transform.image) && this._source !== null;
    this.transform.setImage(size, same);
    this._source = source;
    this._renderer?.setImage(source);
    this._renderer?.removePart();
    if (!same) {
      this._masks = [];
      this._painted.forget();
      this.labels.resize(this._limitSize(size));
    }
    this._moved();
  }

  /** @param {ImageBitmap} source A sharper copy of a part of the image. @param {Box} box In pixels of the image. */
  setPart(source, box) {
    this._renderer?.setPart(source, box);
    this.requestDraw();
  }

  /** @param {ObjectMask[]} masks of the image; later ones are drawn over earlier ones @param {Size} size */
  setMasks(masks, size) {
    this._masks = masks;
    this._maskSize = size;
    this.labels.resize(this._limitSize(size));
    this._compose();
  }

  /**
   * Set the object whose mask is drawn over the others with a bright outline, and which is painted.
   *
   * @param {number | null} object
   * @param {string} [color] "#rrggbb", where the object has no mask.
   */
  setActive(object, color = NEW_COLOR) {
    if (object !== this._active && this._active !== null) this._painted.forget();
    this._active = object;
    this._activeColor = color;
    this._compose();
  }

  /** Set a mask that is drawn with a dashed outline. @param {Uint32Array | null} runs @param {Size} [size] */
  setPreview(runs, size = this._maskSize) {
    this.labels.setPreview(runs && resizeRuns(runs, size, this._labelSize()));
    this.requestDraw();
  }

  /** Set the object whose fill is drawn brighter. @param {number | null} object */
  setHighlighted(object) {
    if (object === this._highlighted) return;
    this._highlighted = object;
    this.requestDraw();
  }

  /** @param {number} opacity From 0 to 1. */
  setOpacity(opacity) {
    this._opacity = opacity;
    this.requestDraw();
  }

  /** @param {boolean} only */
  setOutlineOnly(only) {
    this._outlineOnly = only;
    this.requestDraw();
  }

  /** Hide or show all masks but that of the active object. @param {boolean} visible */
  setMasksVisible(visible) {
    this._masksVisible = visible;
    this.requestDraw();
  }

  get isLocked() {
    return this._masks.some(({ object, locked }) => locked && object === this._active);
  }

  /**
   * Paint the active mask along a line. Masks that are set before `finishStroke` do not change it.
   *
   * @param {readonly [number, number]} from (x, y) in pixels of the image.
   * @param {readonly [number, number]} to
   * @param {number} diameter In pixels of the image.
   * @param {boolean} add
   */
  paint(from, to, diameter, add) {
    this._painted.hold();
    const x = this.labels.width / this.imageSize[1];
    const y = this.labels.height / this.imageSize[0];
    this.labels.paint([from[0] * x, from[1] * y], [to[0] * x, to[1] * y], (diameter * x) / 2, add);
    this.requestDraw();
  }

  /** End a stroke. The painted mask stays until `release` is called. @returns {{runs: Uint32Array, size: Size}} */
  finishStroke() {
    this._painted.replace(this.labels.active);
    return { runs: this.labels.finishStroke(), size: this._labelSize() };
  }

  cancelStroke() {
    this.labels.cancelStroke();
    this.requestDraw();
  }

  /** Let other masks replace the painted one. Those that it replaced itself may still be set for half a second. */
  release() {
    this._painted.release();
    this._compose();
  }

  /** Replace the painted mask by the one that was set last. */
  discardPainted() {
    this._painted.discard();
  }

  /** @param {number} clientX @param {number} clientY @returns {{x: number, y: number}} Also outside the image. */
  toImage(clientX, clientY) {
    const [left, top] = this._toScreen(clientX, clientY);
    const [x, y] = this.transform.toImage(left, top);
    return { x, y };
  }

  /** @param {number} x @param {number} y @returns {[number, number]} CSS pixels from the canvas' top-left corner. */
  toView(x, y) {
    const [left, top] = this.transform.toScreen(x, y);
    return [left / this.pixelRatio, top / this.pixelRatio];
  }

  /** CSS pixels per pixel of the image. */
  get zoom() {
    return this.transform.scale / this.pixelRatio;
  }

  /** @param {number} x @param {number} y @returns {number | null} The topmost visible object, the active one first. */
  objectAt(x, y) {
    const left = (x * this.labels.width) / this.imageSize[1];
    const top = (y * this.labels.height) / this.imageSize[0];
    if (this._active !== null && this.labels.isActiveAt(left, top)) return this._active;
    return this._masksVisible ? this.labels.objectAt(left, top) : null;
  }

  /**
   * @param {number} clientX The position on the page that stays where it is.
   * @param {number} clientY
   * @param {number} factor
   */
  zoomAt(clientX, clientY, factor) {
    this.transform.zoomAt(...this._toScreen(clientX, clientY), factor);
    this._moved();
  }

  /** Zoom at the center of the view. @param {number} factor */
  zoomBy(factor) {
    const [height, width] = this.transform.view;
    this.transform.zoomAt(width / 2, height / 2, factor);
    this._moved();
  }

  /** @param {number} dx CSS pixels @param {number} dy CSS pixels */
  panBy(dx, dy) {
    this.transform.panBy(dx * this.pixelRatio, dy * this.pixelRatio);
    this._moved();
  }

  fit() {
    this.transform.fit();
    this._moved();
  }

  /** Show one pixel of the image as one pixel of the screen. */
  actualSize() {
    this.zoomBy(1 / this.transform.scale);
  }

  requestDraw() {
    if (!this._drawing) this._drawing = requestAnimationFrame(() => this._draw());
  }

  _follow() {
    this._resize();
    new ResizeObserver(() => this._resize()).observe(this.container);
    this._followPixelRatio();
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => this._restore());
  }

  /** Follow the zoom of the browser, and the window from screen to screen. */
  _followPixelRatio() {
    const follow = () => {
      this._resize();
      this._followPixelRatio();
    };
    matchMedia(`(resolution: ${this.pixelRatio}dppx)`).addEventListener("change", follow, { once: true });
  }

  _resize() {
    const { width, height } = this.container.getBoundingClientRect();
    const view = /** @type {Size} */ ([
      Math.max(1, Math.round(height * this.pixelRatio)),
      Math.max(1, Math.round(width * this.pixelRatio)),
    ]);
    if (equalSizes(view, this.transform.view)) return;
    [this.canvas.height, this.canvas.width] = view;
    this.transform.resize(view);
    this._moved();
    this._draw(); // at once: a resized canvas is blank until it is drawn
  }

  _restore() {
    this._renderer = Renderer.create(this.canvas);
    if (this._source) this._renderer?.setImage(this._source);
    this.labels.markAll();
    this._compose();
    this.emit("restored");
  }

  _compose() {
    const own = this._labelSize();
    /** @param {ObjectMask} mask */
    const scaled = ({ object, runs }) => ({ object, runs: resizeRuns(runs, this._maskSize, own) });
    const others = this._masks.filter(({ object, hidden }) => !hidden && object !== this._active);
    this.labels.setMasks(others.map(scaled));
    const active = this._masks.find(({ object }) => object === this._active);
    if (active) this._activeColor = active.color;
    const runs = active && !active.hidden ? scaled(active).runs : NO_RUNS;
    if (!this._painted.outlasts(runs)) {
      this._painted.forget();
      this.labels.setActive(runs);
    }
    this._renderer?.setPalette(
      others.map(({ object, color, locked }) => ({
        slot: this.labels.slots.get(object) ?? 0,
        color: parseColor(color),
        strength: locked ? LOCKED_STRENGTH : 1,
      })),
    );
    this.requestDraw();
  }

  _draw() {
    cancelAnimationFrame(this._drawing);
    this._drawing = 0;
    this._renderer?.setLabels(this.labels);
    if (this._source) {
      const { transform } = this;
      this._renderer?.draw({
        placement: [transform.x, transform.y, transform.scale],
        imageSize: transform.image,
        opacity: this._outlineOnly ? 0 : this._opacity,
        visibility: this._masksVisible ? 1 : 0,
        activeColor: parseColor(this._activeColor),
        highlighted: this._highlighted === null ? 0 : this.labels.slots.get(this._highlighted) ?? 0,
        pixelRatio: this.pixelRatio,
      });
    }
    this.emit("draw");
  }

  _moved() {
    this.requestDraw();
    if (this._scale !== this.transform.scale) {
      this._scale = this.transform.scale;
      this.emit("zoom", { zoom: this.transform.scale });
    }
    clearTimeout(this._reporting);
    this._reporting = setTimeout(() => this.emit("rest"), REST_MS);
  }

  /** @returns {Size} */
  _labelSize() {
    return [this.labels.height, this.labels.width];
  }

  /** @param {Size} size @returns {Size} The size, reduced to that of a texture. */
  _limitSize(size) {
    const factor = Math.min(1, this.maxSide / Math.max(size[0], size[1]));
    return [Math.max(1, Math.round(size[0] * factor)), Math.max(1, Math.round(size[1] * factor))];
  }

  /** @param {number} clientX @param {number} clientY @returns {[number, number]} Screen pixels from that corner. */
  _toScreen(clientX, clientY) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [(clientX - left) * this.pixelRatio, (clientY - top) * this.pixelRatio];
  }
}

/** @param {string} color "#rrggbb" @returns {[number, number, number]} From 0 to 255. */
function parseColor(color) {
  const value = Number.parseInt(color.slice(1), 16) || 0;
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** @param {HTMLElement} container */
function showProblem(container) {
  const message = document.createElement("p");
  message.setAttribute("role", "alert");
  message.textContent =
    "This browser has no WebGL 2, so images cannot be shown. Enable hardware acceleration in its settings, or use another browser.";
  Object.assign(message.style, { position: "relative", margin: "auto", padding: "2rem", maxWidth: "36rem" });
  container.append(message);
}
