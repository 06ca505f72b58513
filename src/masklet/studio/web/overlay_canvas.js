/** Overlay canvas: a 2D canvas over the viewport, on which layers draw shapes of constant size on the screen. */

/** @import { Viewport } from "./viewport.js" */
/** @typedef {CanvasRenderingContext2D} Context */

/** Maps pixels of the image to CSS pixels of the canvas. @typedef {(x: number, y: number) => [number, number]} ToView */

/**
 * Something that is drawn over the image.
 *
 * @typedef {object} Layer
 * @property {() => boolean} isEmpty
 * @property {(context: Context, toView: ToView, zoom: number) => void} draw
 */

export class OverlayCanvas {
  /** @param {Viewport} viewport @param {Layer[]} layers drawn in this order */
  constructor(viewport, layers) {
    this._viewport = viewport;
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    const style = { position: "absolute", inset: "0", width: "100%", height: "100%", pointerEvents: "none" };
    Object.assign(this.canvas.style, style);
    viewport.container.append(this.canvas);
    this._context = /** @type {Context} */ (this.canvas.getContext("2d"));
    this._layers = layers;
    this._blank = true;
    viewport.on("draw", () => this._draw());
  }

  _draw() {
    const { canvas, _viewport: viewport, _context: context } = this;
    const { width, height } = viewport.canvas;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      this._blank = true;
    }
    const layers = viewport.hasImage ? this._layers.filter((layer) => !layer.isEmpty()) : [];
    if (!this._blank) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, width, height);
    }
    this._blank = layers.length === 0;
    const ratio = viewport.pixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const layer of layers) layer.draw(context, (x, y) => viewport.toView(x, y), viewport.zoom);
  }
}

/**
 * Draw the path of a context twice, so that it is visible on light and dark images.
 *
 * @param {Context} context
 * @param {string} color
 * @param {{width?: number, dashes?: number[]}} [options]
 */
export function strokeTwice(context, color, { width = 1.5, dashes = [] } = {}) {
  context.lineWidth = width + 2;
  context.strokeStyle = "rgba(0, 0, 0, 0.65)";
  context.stroke();
  context.setLineDash(dashes);
  context.lineWidth = width;
  context.strokeStyle = color;
  context.setLineDash(dashes);
  context.stroke();
  context.setLineDash([]);
}

/** @param {Context} context @param {[number, number]} position of its center @param {string} color @param {number} side */
export function drawSquare(context, [x, y], color, side) {
  context.fillStyle = color;
  context.strokeStyle = "#000000";
  context.lineWidth = 1;
  context.fillRect(x - side / 2, y - side / 2, side, side);
  context.strokeRect(x - side / 2, y - side / 2, side, side);
}
