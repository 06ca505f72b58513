/** Proposals: masks of the mask generator, or of what a text names, which become objects by a click. */

/** @import { ImageView } from "./image_view.js" */
/** @import { Mask, Store } from "./store.js" */

/** @typedef {{runs: Uint32Array, score: number, label: string | null}} LabelledProposal */

export class Proposals {
  /** @param {Store} store @param {ImageView} view @param {import("./server.js").Server} server */
  constructor(store, view, server) {
    this.store = store;
    this.view = view;
    this.server = server;
    /** @type {{medium: number, frame: number} | null} */
    this.place = null;
    /** @type {string | null} classes that the detector finds, empty for everything in the image, null before the first */
    this.text = null;
    /** @type {LabelledProposal[]} */
    this.proposals = [];
    /** @type {Set<number>} positions of those that were taken */
    this.taken = new Set();
    /** @type {[number, number] | undefined} */
    this.size = undefined;
    this.waiting = false;
    /** @type {() => void} */
    this.onChange = () => {};
  }

  /** @returns {boolean} whether a text is awaited, which everything in the image would delay */
  get asks() {
    return Boolean(this.store.detector) && this.text === null;
  }

  /** Request proposals when the tool is chosen, and drop them when the frame changes. */
  update() {
    const { store } = this;
    const { medium, frame } = store;
    if (this.place && (this.place.medium !== medium || this.place.frame !== frame)) {
      this.place = null;
      this.proposals = [];
      this.draw();
    }
    const isReady = !this.place && medium !== null && !this.waiting && !this.asks;
    if (store.tool === "proposals" && isReady) this.propose();
  }

  /** Find objects of classes on this frame and those that are shown next. @param {string} text */
  find(text) {
    this.text = text.trim();
    if (this.waiting) this.place = null; // the masks that are awaited are of another text
    else this.propose();
  }

  async propose() {
    const { medium, frame, currentClass } = this.store;
    if (medium === null) return;
    this.place = { medium, frame };
    this.waiting = true;
    this.onChange();
    const { text } = this;
    const request = text
      ? this.server.send("detect", { medium, frame, text })
      : this.server.send("propose", { medium, frame, class: currentClass });
    if (await request) return;
    this.waiting = false;
    this.onChange();
  }

  /**
   * @param {{medium: number, frame: number, size: [number, number]}} header
   * @param {(Mask & {label?: string})[]} masks
   */
  receive(header, masks) {
    this.waiting = false;
    if (this.place?.medium === header.medium && this.place.frame === header.frame) {
      this.size = header.size;
      this.proposals = masks.map(({ runs, score, label }) => ({ runs, score: score || 0, label: label || null }));
      this.taken.clear();
      this.draw();
    } else this.update();
    this.onChange();
  }

  /** @returns {number[]} positions of those that were not taken */
  get open() {
    return [...this.proposals.keys()].filter((position) => !this.taken.has(position));
  }

  /** @returns {[string, number][]} how many of those that were not taken have each label */
  get labels() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const position of this.open) {
      const { label } = this.proposals[position];
      if (label) counts.set(label, (counts.get(label) || 0) + 1);
    }
    return [...counts];
  }

  /** Those that were taken stay in the list without pixels, so that the others keep their colors. */
  draw() {
    const none = new Uint32Array();
    const shown = this.proposals.map(({ runs, score }, position) => ({
      runs: this.taken.has(position) ? none : runs,
      score,
    }));
    this.view.setProposals(shown, this.size);
  }

  /** @param {number[]} positions */
  async take(positions) {
    const { place } = this;
    const indices = positions.filter((position) => this.proposals[position] && !this.taken.has(position));
    if (!place || !indices.length) return;
    this.mark(indices, true);
    const fields = { ...place, indices, class: this.store.currentClass };
    if (!(await this.server.send("take_proposals", fields))) this.mark(indices, false);
  }

  takeAll() {
    return this.take(this.open);
  }

  /** @param {number[]} positions @param {boolean} taken */
  mark(positions, taken) {
    for (const position of positions) {
      if (taken) this.taken.add(position);
      else this.taken.delete(position);
    }
    this.draw();
    this.onChange();
  }
}
