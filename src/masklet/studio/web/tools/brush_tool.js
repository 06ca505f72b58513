/** Brush tool: paints the mask of the active object, or erases it. */

import { Tool } from "./tool.js";

/** @import { Pointer, Workspace } from "./tool.js" */

/** The brush with the left button; Shift or the right button erases. The eraser always erases. */
export class BrushTool extends Tool {
  /** @param {Workspace} workspace @param {boolean} adds */
  constructor(workspace, adds) {
    super(workspace);
    this._adds = adds;
    this._brush = workspace.brush;
    /** @type {{last: Pointer, add: boolean} | null} */
    this._stroke = null;
    this._strokes = 0;
  }

  get hasSize() {
    return true;
  }

  enter() {
    this._brush.isEraser = !this._adds;
  }

  /** @param {Pointer} pointer */
  hover(pointer) {
    this._showCircle(pointer);
    this._brush.isEraser = !this._isAdding(pointer);
    return "none";
  }

  hoverEnd() {
    if (this._stroke || !this._brush.position) return;
    this._brush.position = null;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  press(pointer) {
    if (pointer.alt) return;
    if (this.refuseLocked()) return;
    this._stroke = { last: pointer, add: this._isAdding(pointer) };
    this._paint(pointer);
  }

  /** @param {Pointer} pointer */
  drag(pointer) {
    this._showCircle(pointer);
    if (this._stroke) this._paint(pointer);
  }

  /** @param {Pointer} pointer */
  release(pointer) {
    if (this._stroke) this._finish();
    else if (pointer.alt && !pointer.moved) this.actions.pick(this.viewport.objectAt(pointer.x, pointer.y));
    if (pointer.touch) this.hoverEnd();
  }

  cancel() {
    if (!this._stroke) return false;
    this._stroke = null;
    this.viewport.cancelStroke();
    if (!this._strokes) this.viewport.discardPainted();
    return true;
  }

  /** @param {Pointer} pointer */
  _isAdding(pointer) {
    return this._adds && !pointer.shift && pointer.button !== 2;
  }

  /** @param {Pointer} pointer */
  _paint(pointer) {
    const { last, add } = /** @type {{last: Pointer, add: boolean}} */ (this._stroke);
    this._showCircle(pointer);
    this.viewport.paint([last.x, last.y], [pointer.x, pointer.y], this._brush.size, add);
    this._stroke = { last: pointer, add };
  }

  async _finish() {
    this._stroke = null;
    const { runs, size } = this.viewport.finishStroke();
    this._strokes++;
    let failed = false;
    try {
      await this.actions.paint(runs, size);
    } catch {
      failed = true; // the page reports it
    }
    this._strokes--;
    if (this._strokes || this._stroke) return;
    if (failed) this.viewport.discardPainted();
    else this.viewport.release();
  }

  /** @param {Pointer} pointer */
  _showCircle({ x, y }) {
    this._brush.position = [x, y];
    this.redraw();
  }
}
