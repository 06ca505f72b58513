/** Proposals: masks of the automatic mask generator, which become objects by a click. */

/** @import { ImageView } from "./image_view.js" */
/** @import { Mask, Store } from "./store.js" */

export class Proposals {
  /** @param {Store} store @param {ImageView} view @param {import("./server.js").Server} server */
  constructor(store, view, server) {
    this.store = store;
    this.view = view;
    this.server = server;
    /** @type {{medium: number, frame: number} | null} */
    this.place = null;
    /** @type {{runs: Uint32Array, score: number}[]} */
    this.proposals = [];
    /** @type {Set<number>} positions of those that were taken */
    this.taken = new Set();
    /** @type {[number, number] | undefined} */
    this.size = undefined;
    this.waiting = false;
    /** @type {() => void} */
    this.onChange = () => {};
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
    if (store.tool === "proposals" && !this.place && medium !== null && !this.waiting) this.propose();
  }

  async propose() {
    const { medium, frame, currentClass } = this.store;
    if (medium === null) return;
    this.place = { medium, frame };
    this.waiting = true;
    this.onChange();
    if (await this.server.send("propose", { medium, frame, class: currentClass })) return;
    this.waiting = false;
    this.onChange();
  }

  /** @param {{medium: number, frame: number, size: [number, number]}} header @param {Mask[]} masks */
  receive(header, masks) {
    this.waiting = false;
    if (this.place?.medium === header.medium && this.place.frame === header.frame) {
      this.size = header.size;
      this.proposals = masks.map(({ runs, score }) => ({ runs, score: score || 0 }));
      this.taken.clear();
      this.draw();
    } else this.update();
    this.onChange();
  }

  /** @returns {number[]} positions of those that were not taken */
  get open() {
    return [...this.proposals.keys()].filter((position) => !this.taken.has(position));
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
