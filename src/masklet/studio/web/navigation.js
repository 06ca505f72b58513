/** Navigation: which image or frame is shown, steps and jumps between them, and the place of the last visit. */

import { Playback } from "./playback.js";

/** @import { Store } from "./store.js" */

export class Navigation {
  /**
   * @param {Store} store
   * @param {import("./server.js").Server} server
   * @param {import("./image_view.js").ImageView} view
   * @param {import("./tracking.js").Tracking} tracking whose frames are followed
   * @param {import("./messages.js").Messages} messages
   */
  constructor(store, server, view, tracking, messages) {
    this.store = store;
    this.server = server;
    this.view = view;
    this.tracking = tracking;
    this.messages = messages;
    this.playback = new Playback(store, (frame) => this.display(frame));
    this.reporting = false; // the place to the server
    /** @type {Map<number, number>} the frames of videos that were shown last */
    this.lastFrames = new Map();
    tracking.onFollow = (medium, frame) => this.follow(medium, frame);
  }

  /**
   * @param {number | null} medium
   * @param {number} frame
   * @returns {Promise<unknown>} resolved when the frame is displayed
   */
  async goTo(medium, frame) {
    const { store } = this;
    if (store.medium !== null) this.lastFrames.set(store.medium, store.frame);
    store.goTo(medium, frame);
    if (medium === null || !store.shown) return;
    this.savePlace();
    this.reportPlace();
    const { size, frames } = store.shown;
    try {
      await this.view.show({ medium, frame: store.frame, size, frames });
      this.prefetchNeighbors();
    } catch (problem) {
      this.messages.problem(problem);
    }
  }

  /** Display a frame of the medium that is shown. @param {number} frame */
  display(frame) {
    return this.goTo(this.store.medium, frame);
  }

  /** Report the place to the server. Of the places that follow during a report, only the last is reported. */
  async reportPlace() {
    if (this.reporting) return;
    this.reporting = true;
    try {
      for (;;) {
        const { medium, frame } = this.store;
        if (medium === null) return;
        await this.server.request("show", { medium, frame });
        if (medium === this.store.medium && frame === this.store.frame) return;
      }
    } catch (problem) {
      if (this.server.state === "open") this.messages.problem(problem);
    } finally {
      this.reporting = false;
    }
  }

  prefetchNeighbors() {
    const { store } = this;
    if (store.isVideo) return;
    const wanted = [];
    for (const id of [store.neighbor(1), store.neighbor(-1)]) {
      const medium = id === null ? null : store.media.get(id);
      if (id !== null && medium?.kind === "image") wanted.push({ medium: id, frame: 0, size: medium.size, frames: 1 });
    }
    this.view.prefetch(wanted);
  }

  get placeKey() {
    return `masklet.place.${this.store.project}`;
  }

  savePlace() {
    const place = JSON.stringify({ medium: this.store.medium, frame: this.store.frame });
    sessionStorage.setItem(this.placeKey, place);
    localStorage.setItem(this.placeKey, place);
  }

  /** @returns {{medium: number | null, frame: number}} */
  lastPlace() {
    const stored = sessionStorage.getItem(this.placeKey) || localStorage.getItem(this.placeKey);
    try {
      const place = JSON.parse(stored || "null");
      if (place && this.store.media.has(place.medium)) return place;
    } catch {
      // a damaged entry counts as none
    }
    const [medium = null] = this.store.mediaList();
    return { medium, frame: 0 };
  }

  /** If nothing is shown, show the place of the last visit, or the first image or video once there is one. */
  showFirst() {
    if (!this.store.loaded || this.store.medium !== null) return;
    const { medium, frame } = this.lastPlace();
    if (medium !== null) this.goTo(medium, frame);
  }

  /**
   * Show the frame that was tracked last, unless the user went elsewhere.
   *
   * @param {number} medium
   * @param {number} frame
   */
  follow(medium, frame) {
    if (!this.playback.playing && !this.reporting) this.goTo(medium, frame);
  }

  stopFollowing() {
    this.tracking.follows = false;
  }

  /** Step in the video, or through the images. @param {number} steps */
  step(steps) {
    const { store } = this;
    this.stopFollowing();
    if (store.isVideo) this.display(store.frame + steps);
    else this.stepMedia(steps);
  }

  /** @param {number} steps */
  stepMedia(steps) {
    const to = this.store.neighbor(steps);
    if (to !== null) this.open(to);
  }

  /** @param {"first" | "last"} end */
  stepToEnd(end) {
    const { store } = this;
    this.stopFollowing();
    if (store.isVideo) this.display(end === "first" ? 0 : store.frames - 1);
    else this.stepMedia(end === "first" ? -store.media.size : store.media.size);
  }

  /** @param {number} medium */
  open(medium) {
    this.stopFollowing();
    this.playback.pause();
    this.goTo(medium, this.lastFrames.get(medium) || 0);
  }

  /** @param {number} frame */
  jump(frame) {
    this.stopFollowing();
    this.playback.pause();
    return this.display(frame);
  }

  /** @param {boolean} backward */
  stepAnnotated(backward) {
    const frame = this.store.annotatedFrame(backward);
    if (frame === null) this.messages.notice(`There is no annotated frame ${backward ? "before" : "after"} this one.`);
    else this.jump(frame);
  }

  /** @param {boolean} backward */
  stepUnchecked(backward) {
    const to = this.store.neighbor(backward ? -1 : 1, { unchecked: true });
    if (to === null) this.messages.notice("All other images and videos are checked.");
    else this.open(to);
  }

  /**
   * Return to the frame that is displayed while another one is loading: the user means the one that is visible.
   *
   * @returns {boolean} false while an image or video other than the chosen one is displayed
   */
  returnToDisplayed() {
    const { displayed } = this.view;
    if (!displayed || displayed.medium !== this.store.medium) return false;
    if (displayed.frame !== this.store.frame) this.display(displayed.frame);
    return true;
  }
}
