/** Polygon tool: changes the outline of the active object, and draws new outlines. */

import { Tool } from "./tool.js";

/** @import { PolygonHit } from "../polygon_editor.js" */
/** @import { Polygon } from "./actions.js" */
/** @import { Pointer, Workspace } from "./tool.js" */

const CLOSE_REACH = 10; // CSS pixels from the first vertex

/**
 * Drag moves a vertex or inserts one on an edge; Delete or right click removes one. Clicks on an empty place draw a new
 * polygon, which Enter, a double click or a click on its first vertex closes.
 */
export class PolygonTool extends Tool {
  /** @param {Workspace} workspace */
  constructor(workspace) {
    super(workspace);
    this._editor = workspace.polygons;
    /** @type {{hit: PolygonHit, before: Polygon[], changed: boolean} | null} */
    this._gesture = null;
    this._pressed = false;
  }

  enter() {
    this._editor.isVisible = true;
    this.redraw();
  }

  leave() {
    super.leave();
    this._editor.isVisible = false;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  hover(pointer) {
    if (this._editor.draft) {
      this._editor.cursor = this.clip(pointer);
      this.redraw();
      return this._closes(pointer) ? "pointer" : "crosshair";
    }
    const hit = this._hit(pointer);
    this._editor.hovered = hit;
    this.redraw();
    if (!hit) return "crosshair";
    return hit.kind === "vertex" ? "move" : "copy";
  }

  hoverEnd() {
    this._editor.hovered = null;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  press(pointer) {
    if (this.refuseLocked()) return;
    this._pressed = true;
    if (this._editor.draft || pointer.button !== 0 || pointer.shift || pointer.alt) return;
    const hit = this._hit(pointer);
    if (!hit) return;
    const before = this._editor.polygons.map((polygon) => [...polygon]);
    const vertex = hit.kind === "edge" ? this._editor.insertVertex(hit, this.clip(pointer)) : hit;
    this._gesture = { hit: vertex, before, changed: hit.kind === "edge" };
    this._editor.selected = vertex;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  drag(pointer) {
    if (!this._gesture || !pointer.moved) return;
    this._editor.moveVertex(this._gesture.hit, this.clip(pointer));
    this._gesture.changed = true;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  release(pointer) {
    if (!this._pressed) return;
    this._pressed = false;
    const gesture = this._gesture;
    this._gesture = null;
    if (gesture?.changed) this._send();
    else if (!gesture && !pointer.moved) this._click(pointer);
    this.redraw();
  }

  doubleClick() {
    if (this._editor.draft) this._close();
  }

  cancel() {
    const began = this._gesture !== null || this._editor.draft !== null;
    if (this._gesture) this._editor.setPolygons(this._gesture.before);
    this._gesture = null;
    this._pressed = false;
    this._editor.cancelDraft();
    this.redraw();
    return began;
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === "Enter" && this._editor.draft) return this._close();
    if (event.key === "Delete" || event.key === "Backspace") return !event.shiftKey && this._delete();
    return super.handleKey(event);
  }

  /** @param {Pointer} pointer */
  _click(pointer) {
    if (pointer.button === 2 || pointer.shift) this._removeAt(pointer);
    else if (pointer.alt) this.actions.pick(this.viewport.objectAt(pointer.x, pointer.y));
    else if (this._closes(pointer)) this._close();
    else if (this.isInside(pointer) || this._editor.draft) this._addVertex(pointer);
  }

  /** @param {Pointer} pointer */
  _addVertex(pointer) {
    const last = this._editor.draft?.at(-1);
    const position = this.clip(pointer);
    if (last && this._distance(last, pointer) < 3) return; // the second click of a double click
    this._editor.selected = null;
    this._editor.addToDraft(position);
    this._editor.cursor = position;
  }

  /** @param {Pointer} pointer */
  _removeAt(pointer) {
    if (this._editor.draft) {
      this._editor.shortenDraft();
      return;
    }
    const hit = this._hit(pointer);
    if (hit?.kind !== "vertex") return;
    this._editor.removeVertex(hit);
    this._send();
  }

  _delete() {
    if (this._editor.draft) this._editor.shortenDraft();
    else {
      const vertex = this._editor.hovered?.kind === "vertex" ? this._editor.hovered : this._editor.selected;
      if (!vertex || this._gesture) return false;
      this._editor.removeVertex(vertex);
      this._send();
    }
    this.redraw();
    return true;
  }

  /** @returns {boolean} True: the key or click was used. */
  _close() {
    if (this._editor.closeDraft()) this._send();
    this.redraw();
    return true;
  }

  _send() {
    const { polygons } = this._editor;
    this.actions.setPolygons(polygons.map((polygon) => polygon.map(([x, y]) => [x, y])));
  }

  /** @param {Pointer} pointer */
  _closes(pointer) {
    const { draft } = this._editor;
    return draft !== null && draft.length > 2 && this._distance(draft[0], pointer) <= CLOSE_REACH;
  }

  /** @param {[number, number]} position @param {Pointer} pointer @returns {number} CSS pixels */
  _distance(position, pointer) {
    const [left, top] = this.viewport.toView(...position);
    return Math.hypot(left - pointer.left, top - pointer.top);
  }

  /** @param {Pointer} pointer */
  _hit({ left, top, touch }) {
    return this._editor.hit(left, top, touch, (x, y) => this.viewport.toView(x, y));
  }
}
