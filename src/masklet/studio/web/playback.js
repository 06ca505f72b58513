/** Playback: shows frame after frame at the video's rate. */

/** @import { Store } from "./store.js" */

export class Playback {
  /** @param {Store} store @param {(frame: number) => Promise<unknown>} show resolved when the frame is displayed */
  constructor(store, show) {
    this.store = store;
    this.show = show;
    this.playing = false;
    /** @type {() => void} */
    this.onChange = () => {};
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.onChange();
  }

  /** Play until the end, or until the end of the range if the frame is in it. No frame is left out. */
  async play() {
    const { store } = this;
    if (this.playing || !store.isVideo) return;
    const { medium, range } = store;
    const inRange = range !== null && store.frame >= range.start && store.frame < range.stop;
    const stop = inRange ? range.stop : store.frames;
    let frame = store.frame >= stop - 1 ? (inRange ? range.start : 0) : store.frame;
    this.playing = true;
    this.onChange();
    const rate = store.shown?.times?.[1] || 25;
    let due = performance.now();
    while (this.playing && store.medium === medium && frame < stop) {
      await this.show(frame);
      if (store.frame !== frame) break; // the user went elsewhere
      due = Math.max(due + 1000 / rate, performance.now() - 1000 / rate);
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
      frame++;
    }
    this.pause();
  }
}
