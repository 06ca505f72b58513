/** Live session: the actions of the live page's drawing area. Each prompt belongs to the frame on which it was made. */

/** @import { Prompt } from "./prompt_overlay.js" */

const DOUBLE_CLICK_MS = 400;
const DOUBLE_CLICK_REACH = 4; // CSS pixels

export class LiveSession {
  /**
   * @param {object} page
   * @param {(command: string, fields: object) => Promise<any>} page.request
   * @param {() => number | null} page.frame that is displayed
   * @param {() => number} page.zoom CSS pixels per pixel of the image.
   * @param {() => void} page.onChange of the active object or the prompt
   * @param {(problem: unknown) => void} page.onProblem
   * @param {() => number} [page.now] Milliseconds.
   */
  constructor(page) {
    this._page = page;
    this._now = page.now ?? (() => performance.now());
    /** The object that prompts change; null for a new one. @type {number | null} */
    this.active = null;
    /** The frame of the prompt. @type {number | null} */
    this.promptFrame = null;
    /** @type {Prompt} */
    this.prompt = { points: [], box: null };
    /** Requests run one after the other, so that a second click finds the object of the first. @type {Promise<void>} */
    this._queue = Promise.resolve();
    this._lastClick = { x: 0, y: 0, time: -Infinity };
  }

  /** Select an object; null: the next click starts a new one. @param {number | null} object */
  select(object) {
    if (object === this.active && object !== null) return;
    this.active = object;
    this.clearPrompt();
  }

  clearPrompt() {
    this.promptFrame = null;
    this.prompt = { points: [], box: null };
    this._page.onChange();
  }

  /** @param {number} object */
  remove(object) {
    if (object === this.active) this.select(null);
    this.enqueue(() => this._page.request("remove_objects", { objects: [object] }));
  }

  /** @param {number} x @param {number} y @param {boolean} positive */
  click(x, y, positive) {
    const isSecond = this._isSecondClick(x, y);
    this._lastClick = { x, y, time: this._now() };
    if (isSecond) {
      this._page.onChange(); // draws the prompt without the second point
      return;
    }
    this._startPrompt();
    this.prompt.points.push([x, y, positive ? 1 : 0]);
    this._send();
  }

  /** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @param {boolean} add */
  box(x0, y0, x1, y1, add) {
    this._startPrompt();
    this.prompt = { points: add ? this.prompt.points : [], box: [x0, y0, x1, y1] };
    this._send();
  }

  deleteBox() {
    this.prompt = { points: this.prompt.points, box: null };
    this._send();
  }

  /** @param {number} index @param {number} x @param {number} y */
  movePoint(index, x, y) {
    this.prompt.points[index] = [x, y, this.prompt.points[index][2]];
    this._send();
  }

  /** @param {number} index */
  deletePoint(index) {
    const [x, y] = this.prompt.points[index];
    if (this._isSecondClick(x, y)) {
      this._page.onChange(); // draws the point again
      return;
    }
    this.prompt.points.splice(index, 1);
    this._send();
  }

  /** @param {number | null} object */
  pick(object) {
    if (object !== null) this.select(object);
  }

  hover() {}

  hoverEnd() {}

  paint() {}

  setPolygons() {}

  takeProposal() {}

  /** @param {number} x @param {number} y @returns {boolean} Whether a click is the second of a double click. */
  _isSecondClick(x, y) {
    const { x: x0, y: y0, time } = this._lastClick;
    const distance = Math.hypot(x - x0, y - y0) * this._page.zoom();
    return this._now() - time < DOUBLE_CLICK_MS && distance < DOUBLE_CLICK_REACH;
  }

  /** Continue the prompt on the displayed frame, or begin one. */
  _startPrompt() {
    const frame = this._page.frame();
    if (frame === this.promptFrame) return;
    this.promptFrame = frame;
    this.prompt = { points: [], box: null };
  }

  _send() {
    this._page.onChange();
    const { promptFrame: frame, prompt } = this;
    const [points, box] = [[...prompt.points], prompt.box];
    if (frame === null || (!points.length && !box)) return;
    this.enqueue(async () => {
      const isNew = this.active === null;
      const reply = await this._page.request("predict", { frame, object: this.active, points, box });
      if (isNew && this.active === null) this.active = reply.object;
      this._page.onChange();
    });
  }

  /** Run something after the requests that are on their way. @param {() => Promise<unknown>} work */
  enqueue(work) {
    this._queue = this._queue.then(work).then(() => {}, (problem) => this._page.onProblem(problem));
  }
}
