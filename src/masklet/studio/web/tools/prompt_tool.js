/** Prompt tool: clicks and boxes, and changes of those that are there. */

import { cursorOf, moveEdges, roundBox, spanBox } from "../prompt_overlay.js";
import { HoverThrottle } from "./hover_throttle.js";
import { Tool } from "./tool.js";

/** @import { Hit, Prompt } from "../prompt_overlay.js" */
/** @import { Box } from "../transform.js" */
/** @import { Pointer, Workspace } from "./tool.js" */

const STILL = 4; // CSS pixels from a click within which there is no preview, and a further click is a double click
const DOUBLE_CLICK_MS = 500;

export class PromptTool extends Tool {
  /** @param {Workspace} workspace */
  constructor(workspace) {
    super(workspace);
    this.prompts = workspace.prompts;
    /** @type {{start: Pointer, hit: Hit | null, before: Prompt} | null} */
    this._gesture = null;
    /** @type {Pointer | null} */
    this._clicked = null;
    /** The click that added the last point. @type {{pointer: Pointer, time: number} | null} */
    this._added = null;
    this._throttle = new HoverThrottle(
      (x, y) => this.actions.hover(x, y),
      () => this.actions.hoverEnd(),
    );
  }

  enter() {
    this.prompts.isEditable = true;
  }

  leave() {
    super.leave();
    this.prompts.isEditable = false;
  }

  /** @param {Pointer} pointer */
  hover(pointer) {
    const hit = this._hit(pointer);
    if (!sameHit(hit, this.prompts.hovered)) {
      this.prompts.hovered = hit;
      this.redraw();
    }
    const still = this._clicked && distance(this._clicked, pointer) < STILL;
    if (hit || still || !this.isInside(pointer)) this._throttle.stop();
    else {
      this._clicked = null;
      this._throttle.move(...this.clip(pointer));
    }
    return cursorOf(hit, "crosshair");
  }

  hoverEnd() {
    this._throttle.stop();
    if (!this.prompts.hovered) return;
    this.prompts.hovered = null;
    this.redraw();
  }

  /** @param {Pointer} pointer */
  press(pointer) {
    const { points, box } = this.prompts.prompt;
    this._gesture = { start: pointer, hit: this._hit(pointer), before: { points: [...points], box } };
    this._clicked = pointer;
  }

  /** @param {Pointer} pointer */
  drag(pointer) {
    if (!this._gesture || !pointer.moved || pointer.button !== 0) return;
    const { start, hit, before } = this._gesture;
    const size = this.viewport.imageSize;
    if (hit?.kind === "point") {
      const points = [...before.points];
      points[hit.index] = [...this.clip(pointer), before.points[hit.index][2]];
      this.prompts.prompt = { points, box: before.box };
    } else if (hit && before.box) {
      const box = moveEdges(before.box, hit.edges, pointer.x - start.x, pointer.y - start.y, size);
      this.prompts.prompt = { points: before.points, box };
    } else {
      this.prompts.band = spanBox(start.x, start.y, pointer.x, pointer.y, size);
    }
    this.redraw();
  }

  /** @param {Pointer} pointer */
  release(pointer) {
    const gesture = this._gesture;
    if (!gesture) return;
    this.drag(pointer); // a prompt may have been set since the last one
    this._gesture = null;
    this.redraw();
    if (!pointer.moved) this._click(gesture.start, gesture.hit);
    else if (pointer.button === 0) this._finishDrag(gesture);
  }

  /** Set a box. @param {Box} corners @param {boolean} add Whether points stay. */
  _setBox(corners, add) {
    const box = roundBox(...corners, this.viewport.imageSize);
    if (!box) return;
    this.prompts.setPrompt({ points: add ? this.prompts.prompt.points : [], box });
    this.actions.box(...box, add);
  }

  cancel() {
    if (!this._gesture) return false;
    this.prompts.prompt = this._gesture.before;
    this.prompts.band = null;
    this._gesture = null;
    this.redraw();
    return true;
  }

  /** @param {Pointer} pointer @param {Hit | null} hit */
  _click(pointer, hit) {
    if (hit?.kind === "point" && this._isDoubleClick(pointer)) return; // the first click added the point
    if (hit?.kind === "point") {
      this.prompts.prompt.points.splice(hit.index, 1);
      this.prompts.hovered = null;
      this.actions.deletePoint(hit.index);
    } else if (hit && pointer.button === 2) {
      this.prompts.prompt.box = null;
      this.actions.deleteBox();
    } else if (this.isInside(pointer)) {
      const [x, y] = this.clip(pointer);
      if (pointer.alt && pointer.button === 0) {
        this.actions.pick(this.viewport.objectAt(x, y));
        return;
      }
      const positive = pointer.button === 0 && !pointer.shift;
      this._added = { pointer, time: performance.now() };
      this.prompts.prompt.points.push([x, y, positive ? 1 : 0]);
      this.actions.click(x, y, positive);
    }
  }

  /** @param {Pointer} pointer */
  _isDoubleClick(pointer) {
    if (!this._added || performance.now() - this._added.time > DOUBLE_CLICK_MS) return false;
    const first = this._added.pointer;
    const isSame = first.button === pointer.button && first.shift === pointer.shift;
    return isSame && distance(first, pointer) <= STILL;
  }

  /** @param {{start: Pointer, hit: Hit | null, before: Prompt}} gesture */
  _finishDrag({ start, hit }) {
    const { points, box } = this.prompts.prompt;
    const { band } = this.prompts;
    this.prompts.band = null;
    if (hit?.kind === "point") this.actions.movePoint(hit.index, points[hit.index][0], points[hit.index][1]);
    else if (hit && box) this._setBox(box, true);
    else if (band) this._setBox(band, start.alt);
  }

  /** @param {Pointer} pointer */
  _hit({ left, top, touch }) {
    return this.prompts.hit(left, top, touch, (x, y) => this.viewport.toView(x, y));
  }
}

/** @param {Hit | null} left @param {Hit | null} right */
function sameHit(left, right) {
  if (left?.kind === "point" && right?.kind === "point") return left.index === right.index;
  if (!left || !right || left.kind === "point" || right.kind === "point") return left === right;
  return left.kind === right.kind && left.edges === right.edges;
}

/** @param {Pointer} from @param {Pointer} to */
function distance(from, to) {
  return Math.hypot(to.left - from.left, to.top - from.top);
}
