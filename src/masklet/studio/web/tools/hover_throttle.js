/** Hover throttle: sends the last position at most every 40 ms, and not while a request is pending. */

const INTERVAL_MS = 40;
const TIMEOUT_MS = 2000; // after which a request without a reply does not hold the next one

export class HoverThrottle {
  /**
   * @param {(x: number, y: number) => unknown} send May return a promise.
   * @param {() => void} end
   * @param {{now: () => number, setTimeout: (run: () => void, ms: number) => any, clearTimeout: (id: any) => void}} [clock]
   */
  constructor(send, end, clock) {
    this._send = send;
    this._end = end;
    this._clock = clock ?? {
      now: () => performance.now(),
      setTimeout: (run, ms) => setTimeout(run, ms),
      clearTimeout: (id) => clearTimeout(id),
    };
    /** @type {[number, number] | null} */
    this._next = null;
    /** @type {any} */
    this._timer = null;
    this._sent = -Infinity;
    this._pending = 0;
    this._isOn = false;
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    this._next = [x, y];
    this._isOn = true;
    this._schedule();
  }

  /** Drop the waiting position, and end the hover if there was one. */
  stop() {
    this._next = null;
    this._clock.clearTimeout(this._timer);
    this._timer = null;
    if (this._isOn) this._end();
    this._isOn = false;
  }

  _schedule() {
    if (this._timer !== null || !this._next) return;
    const now = this._clock.now();
    const free = this._pending ? this._sent + TIMEOUT_MS : this._sent + INTERVAL_MS;
    if (now >= free) this._fire();
    else this._timer = this._clock.setTimeout(() => this._wake(), free - now);
  }

  _wake() {
    this._timer = null;
    this._schedule();
  }

  _fire() {
    const [x, y] = /** @type {[number, number]} */ (this._next);
    this._next = null;
    this._sent = this._clock.now();
    const turn = ++this._pending;
    const settle = () => {
      if (turn !== this._pending) return;
      this._pending = 0;
      this._clock.clearTimeout(this._timer);
      this._wake();
    };
    const sent = this._send(x, y);
    if (sent instanceof Promise) sent.then(settle, settle);
    else settle();
  }
}
