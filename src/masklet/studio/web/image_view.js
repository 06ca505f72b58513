/**
 * Image view: the drawing area of the page. It joins the viewport, the overlay, the tools and the frames.
 *
 * Typical use:
 *
 *     const view = new ImageView(container, actions);
 *     view.show({ medium: 1, frame: 0, size: [1080, 1920], frames: 100 });      // loads and displays the frame
 *     view.setMasks({ medium: 1, frame: 0, size: [1080, 1920] }, masks);        // from the binary `masks`
 *     view.setActive(3, "#e6194b");
 *     view.setPrompt({ points: [[120, 80, 1]], box: null });
 *     view.setTool("brush");
 *
 * @module
 */

/** @typedef {import("./rle.js").Size} Size */
/** @typedef {import("./tools/actions.js").Actions} Actions */
/** @typedef {import("./tools/actions.js").Polygon} Polygon */

/**
 * A mask of an object on the displayed frame. Later masks are drawn over earlier ones.
 *
 * @typedef {object} ObjectMask
 * @property {number} object
 * @property {Uint32Array} runs
 * @property {string} color "#rrggbb"
 * @property {boolean} [hidden] Whether the mask is neither drawn nor selected by clicks.
 * @property {boolean} [locked] Whether the mask is drawn with a thin outline and cannot be painted.
 */

/** @typedef {{points: [number, number, number][], box: [number, number, number, number] | null}} Prompt */

/**
 * `prompt`: clicks and boxes; `select`: click selects an object, drag pans; `proposals`: click takes a proposal.
 *
 * @typedef {"prompt" | "select" | "brush" | "eraser" | "polygon" | "proposals"} ToolName
 */

/** @typedef {{medium: number, frame: number, size: Size, frames: number}} Shown `size` is that of the original frame. */

/** A canvas with the image, masks and prompts, on which the user clicks, draws and paints. */
export class ImageView {
  /**
   * @param {HTMLElement} container An element with a size; the view fills it and follows its size. Contents are replaced.
   * @param {Actions} actions
   */
  constructor(container, actions) {
    void container, actions;
  }

  /**
   * Load a frame and display it. What is displayed stays until the frame is there; of several calls the last one wins.
   *
   * The view keeps its zoom and position if the size is that of the displayed frame, else it shows the whole image.
   * Neighbors in the direction of travel are loaded afterwards.
   *
   * @param {Shown} shown
   * @returns {Promise<boolean>} Whether the frame is displayed; false if a later call replaced this one. Rejects where
   *   the frame cannot be loaded.
   */
  async show(shown) {
    void shown;
    return false;
  }

  /** Load frames that are likely to be shown next, such as neighboring images. @param {Shown[]} frames */
  prefetch(frames) {
    void frames;
  }

  /**
   * Set the masks of a frame. Masks of a frame that is being loaded appear with it; those of other frames are ignored.
   *
   * Call it again when colors, order or visibility change.
   *
   * @param {{medium: number, frame: number, size: Size}} of `size` is that of the masks.
   * @param {ObjectMask[]} masks
   */
  setMasks(of, masks) {
    void of, masks;
  }

  /**
   * Set the object that prompts, brush and polygons change. Its mask is drawn over all others, with a bright outline.
   *
   * @param {number | null} object Null: a new object.
   * @param {string} [color] "#rrggbb" of a new object.
   */
  setActive(object, color) {
    void object, color;
  }

  /** Set the prompt of the active object on the displayed frame. @param {Prompt} prompt */
  setPrompt(prompt) {
    void prompt;
  }

  /**
   * Draw the result of a hover, until the next call. It disappears by itself when the cursor leaves.
   *
   * @param {Uint32Array | null} runs
   * @param {Size} [size]
   */
  setPreview(runs, size) {
    void runs, size;
  }

  /** Set the proposals that the tool `proposals` shows. @param {{runs: Uint32Array, score: number}[]} proposals @param {Size} [size] */
  setProposals(proposals, size) {
    void proposals, size;
  }

  /** Set the polygons of the active object, which the tool `polygon` edits. @param {Polygon[]} polygons */
  setPolygons(polygons) {
    void polygons;
  }

  /** Highlight an object, for example the one under the cursor in a list. @param {number | null} object */
  setHighlighted(object) {
    void object;
  }

  /** Change the tool. What was begun with the other one is canceled. @param {ToolName} tool */
  setTool(tool) {
    void tool;
  }

  /** @type {ToolName} */
  get tool() {
    return "prompt";
  }

  /** Diameter of the brush in pixels of the image. */
  get brushSize() {
    return 0;
  }

  set brushSize(pixels) {
    void pixels;
  }

  /** Change the size of the brush by a number of steps of 15 %. @param {number} steps */
  stepBrushSize(steps) {
    void steps;
  }

  /** Set the opacity of fills, from 0 to 1. @param {number} opacity */
  setOpacity(opacity) {
    void opacity;
  }

  /** Draw outlines without fills. @param {boolean} only */
  setOutlineOnly(only) {
    void only;
  }

  /** Hide or show all masks but the active object's. @param {boolean} visible */
  setMasksVisible(visible) {
    void visible;
  }

  /** Disable tools, for example while the server is not connected. Pan and zoom still work. @param {boolean} enabled */
  setEnabled(enabled) {
    void enabled;
  }

  /** Show the whole image. */
  fit() {}

  /** Show one pixel of the image as one pixel of the screen. */
  actualSize() {}

  /** Zoom at the center of the view, or at the keyboard cursor. @param {number} factor */
  zoomBy(factor) {
    void factor;
  }

  /** Move the view. @param {number} dx CSS pixels @param {number} dy CSS pixels */
  panBy(dx, dy) {
    void dx, dy;
  }

  /** Screen pixels per pixel of the image. */
  get zoom() {
    return 1;
  }

  /**
   * Handle a key of the drawing area: Escape, Enter, Delete and Backspace of the polygon tool and of unfinished gestures;
   * arrows, Enter, Space, X and G of the keyboard cursor. Shortcuts call it first.
   *
   * @param {KeyboardEvent} event
   * @returns {boolean} Whether the key was used; then shortcuts ignore it.
   */
  handleKey(event) {
    void event;
    return false;
  }

  /** Turn the keyboard cursor on or off. @returns {boolean} Whether it is on now. */
  toggleKeyboardCursor() {
    return false;
  }

  /**
   * Whether Space was used to pan since it went down. A shortcut of Space acts when the key goes up, unless this is true.
   */
  get spacePanned() {
    return false;
  }

  /** Put the keyboard focus on the canvas. */
  focus() {}

  /**
   * Listen to what the view reports: `zoom` {zoom}, `cursor` {x, y} or {x: null, y: null} outside the image, `brush`
   * {size}, `frame` {medium, frame} when a frame is displayed, `loading` {loading}, `problem` {detail}, `keyboard` {on}.
   *
   * @param {"zoom" | "cursor" | "brush" | "frame" | "loading" | "problem" | "keyboard"} name
   * @param {(detail: any) => void} listener
   * @returns {() => void} A function that removes the listener.
   */
  on(name, listener) {
    void name, listener;
    return () => {};
  }

  /** Release textures, listeners and cached frames. */
  dispose() {}
}
