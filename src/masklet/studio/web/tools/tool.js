/** Tools: what the pointer does in the drawing area. The controller decides between tool, pan and zoom. */

/**
 * @typedef {object} Pointer
 * @property {number} x Pixels of the image, also outside it.
 * @property {number} y
 * @property {number} left CSS pixels from the top-left corner of the canvas.
 * @property {number} top
 * @property {number} button 0 left, 2 right.
 * @property {boolean} shift
 * @property {boolean} alt
 * @property {boolean} touch
 * @property {boolean} moved Whether it has moved so far since it was pressed that this is a drag.
 */

/**
 * @typedef {object} Workspace
 * @property {import("../viewport.js").Viewport} viewport
 * @property {import("./actions.js").Actions} actions
 * @property {import("../prompt_overlay.js").PromptOverlay} prompts
 * @property {import("../polygon_editor.js").PolygonEditor} polygons
 * @property {import("../brush.js").BrushCursor} brush
 * @property {(detail: string) => void} report Show a line to the user.
 */

export class Tool {
  /** @param {Workspace} workspace */
  constructor(workspace) {
    this.workspace = workspace;
    this.viewport = workspace.viewport;
    this.actions = workspace.actions;
  }

  /** Whether Alt and right drag changes a size. */
  get hasSize() {
    return false;
  }

  /** Whether pressing on an empty place and dragging pans. */
  get pans() {
    return false;
  }

  enter() {}

  leave() {
    this.cancel();
    this.hoverEnd();
  }

  /** The pointer moves without a button. @param {Pointer} pointer @returns {string} The cursor. */
  hover(pointer) {
    return "default";
  }

  /** The pointer leaves the canvas, or a button is pressed. */
  hoverEnd() {}

  /** @param {Pointer} pointer */
  press(pointer) {}

  /** @param {Pointer} pointer */
  drag(pointer) {}

  /** @param {Pointer} pointer */
  release(pointer) {}

  /** @param {Pointer} pointer */
  doubleClick(pointer) {}

  /** Discard what was begun. @returns {boolean} Whether something was begun. */
  cancel() {
    return false;
  }

  /** @param {KeyboardEvent} event @returns {boolean} Whether the key was used. */
  handleKey(event) {
    return event.key === "Escape" && this.cancel();
  }

  redraw() {
    this.viewport.requestDraw();
  }

  /** @returns {boolean} Whether the object is locked, which is reported. */
  refuseLocked() {
    if (this.viewport.isLocked) this.workspace.report("The object is locked. Unlock it to change its mask.");
    return this.viewport.isLocked;
  }

  /** Limit a position to the image, in hundredths of a pixel. @param {Pointer} pointer @returns {[number, number]} */
  clip({ x, y }) {
    const [height, width] = this.viewport.imageSize;
    /** @param {number} value @param {number} limit */
    const clip = (value, limit) => Math.round(Math.min(limit, Math.max(0, value)) * 100) / 100;
    return [clip(x, width), clip(y, height)];
  }

  /** @param {{x: number, y: number}} pointer @returns {boolean} Whether a position is in the image. */
  isInside({ x, y }) {
    const [height, width] = this.viewport.imageSize;
    return x >= 0 && y >= 0 && x < width && y < height;
  }
}
