/** Tracking: runs on the server, and the plan to recompute frames after a correction. */

import { counted } from "./dom.js";
import { problemText } from "./messages.js";

/** @import { Messages } from "./messages.js" */
/** @import { Range, Store } from "./store.js" */

/**
 * @typedef {object} Run
 * @property {number | string} id
 * @property {number} medium
 * @property {number | null} frame the last frame that was tracked
 * @property {number} done frames
 * @property {number} total
 * @property {number | null} secondsLeft
 * @property {number} rate frames per second; 0 while unknown
 * @property {number} started milliseconds
 * @property {number} first frames that were done when this window learned of the run
 */

/** @typedef {{medium: number, objects: number[], frame: number, frames: number, first: number, last: number}} Plan */

export class Tracking {
  /**
   * @param {Store} store
   * @param {import("./server.js").Server} server
   * @param {() => Promise<boolean>} settle waits for the masks of all prompts, from which tracking starts
   * @param {Messages} messages
   */
  constructor(store, server, settle, messages) {
    this.store = store;
    this.server = server;
    this.settle = settle;
    this.messages = messages;
    /** @type {Map<number | string, Run>} */
    this.runs = new Map();
    /** @type {{medium: number, objects: Set<number>, frame: number} | null} until its frames are recomputed */
    this.correction = null;
    /** @type {Plan | null} what to recompute after the correction */
    this.plan = null;
    /** @type {{stopped: boolean} | null} a run that the server has not confirmed */
    this.starting = null;
    this.onlySelected = false;
    this.follows = true;
    /** @type {() => void} */
    this.onChange = () => {};
    /** @type {(medium: number, frame: number) => void} */
    this.onFollow = () => {};
  }

  /** @returns {Run | null} the run of the medium that is shown, or any other */
  get run() {
    const runs = [...this.runs.values()];
    return runs.find((run) => run.medium === this.store.medium) || runs[0] || null;
  }

  /** @param {Record<string, any>[]} runs of the reply to `hello` */
  load(runs) {
    this.runs.clear();
    this.correction = this.plan = null;
    for (const run of runs || []) this.update({ state: "running", ...run }, true);
    this.onChange();
  }

  /** @param {Record<string, any>} event `progress` of a run */
  receive(event) {
    const run = this.runs.get(event.run);
    this.update(event, false);
    // A run starts from the masks that were there when it began, so corrections since then are not in its frames.
    if (event.state !== "running" && this.correction?.medium === event.medium) this.updatePlan();
    if (event.state === "failed") this.messages.problem(problemText(event.problem, "Tracking failed."));
    else if (event.state !== "running")
      this.messages.note(`Tracking ${event.state} after ${counted(event.done, "frame")}.`);
    else if (run && this.follows && event.medium === this.store.medium && event.frame !== null) {
      this.onFollow(event.medium, event.frame);
    }
    this.onChange();
  }

  /** @param {Record<string, any>} event @param {boolean} isOld whether the run started before this window was opened */
  update(event, isOld) {
    if (event.state !== "running") {
      this.runs.delete(event.run);
      return;
    }
    const now = performance.now();
    const done = event.done || 0;
    const known = this.runs.get(event.run);
    const started = known?.started ?? now;
    const first = known?.first ?? (isOld ? done : 0);
    const seconds = (now - started) / 1000;
    this.runs.set(event.run, {
      id: event.run,
      medium: event.medium,
      frame: event.frame ?? known?.frame ?? null,
      done,
      total: event.total || 0,
      secondsLeft: event.seconds_left ?? null,
      rate: seconds > 0.5 && done > first ? (done - first) / seconds : known?.rate || 0,
      started,
      first,
    });
  }

  /**
   * @param {"forward" | "backward" | "both"} direction
   * @param {Range | null} [range] by default from the frame that is shown to the end
   */
  async track(direction, range = null) {
    const { store } = this;
    const { medium, frame, frames } = store;
    if (medium === null || !store.isVideo) return;
    if (this.starting || this.run?.medium === medium) {
      this.messages.notice("Tracking is running. Stop it before you track other frames.");
      return;
    }
    const start = range ? range.start : direction === "forward" ? frame : 0;
    const stop = range ? range.stop : direction === "backward" ? frame + 1 : frames;
    const objects = this.onlySelected && store.object !== null ? [store.object] : null;
    await this.start({ medium, objects, start, stop, direction });
  }

  /** Recompute what is planned. */
  async retrack() {
    const { plan } = this;
    if (!plan || this.starting || this.run?.medium === plan.medium) return;
    await this.start({ medium: plan.medium, objects: plan.objects, frame: plan.frame });
  }

  /** @param {Record<string, any>} fields the arguments of a plan */
  async start(fields) {
    const starting = (this.starting = { stopped: false });
    this.follows = true;
    this.correction = this.plan = null;
    this.onChange();
    try {
      if (!(await this.settle()) || starting.stopped) return;
      const reply = await this.server.send("track", fields);
      if (!reply) return;
      if (reply.frames === 0)
        this.messages.notice(
          "There is nothing to track: these frames are annotated or accepted, or no object has a mask.",
        );
      else if (reply.run !== null && reply.run !== undefined && !this.runs.has(reply.run)) {
        this.update({ run: reply.run, medium: fields.medium, state: "running", done: 0, total: reply.frames }, false);
      }
      if (starting.stopped && reply.run) await this.server.send("stop_tracking", { run: reply.run });
    } finally {
      this.starting = null;
      this.onChange();
    }
  }

  async stop() {
    const { run, starting } = this;
    if (starting) starting.stopped = true;
    else if (run) await this.server.send("stop_tracking", { run: run.id });
  }

  /**
   * Plan to recompute the frames that depend on a corrected one. Corrections of several objects on it are one plan.
   *
   * @param {number} medium
   * @param {number} object
   * @param {number} frame
   */
  async planRetracking(medium, object, frame) {
    if (this.store.media.get(medium)?.kind !== "video") return;
    const { correction } = this;
    if (correction?.medium === medium && correction.frame === frame) correction.objects.add(object);
    else this.correction = { medium, objects: new Set([object]), frame };
    await this.updatePlan();
  }

  async updatePlan() {
    const { correction } = this;
    if (!correction) return;
    const { medium, frame } = correction;
    const objects = [...correction.objects];
    try {
      const { frames, first, last } = await this.server.request("plan_retracking", { medium, objects, frame });
      if (correction !== this.correction) return;
      this.plan = frames > 0 ? { medium, objects, frame, frames, first, last } : null;
    } catch {
      this.plan = null; // the correction itself is saved; without a plan nothing is recomputed
    }
    this.onChange();
  }

  dismiss() {
    this.correction = null;
    if (!this.plan) return;
    this.plan = null;
    this.onChange();
  }
}

/** @param {number} seconds @returns {string} such as "40 s", "3 min", or "2 h 5 min" */
export function formatDuration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} seconds @returns {string} such as "1:02:03.40" */
export function formatTime(seconds) {
  const hundredths = Math.round(seconds * 100);
  const part = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, "0");
  const minutes = Math.floor(hundredths / 6000);
  const hours = Math.floor(minutes / 60);
  const rest = `${part((hundredths / 100) % 60)}.${part(hundredths % 100)}`;
  return hours ? `${hours}:${part(minutes % 60)}:${rest}` : `${minutes}:${rest}`;
}
