/** Proposals: masks of the automatic mask generator, which become objects by a click. */

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./store.js").Mask} Mask */
/** @typedef {import("./image_view.js").ImageView} ImageView */
/** @typedef {import("./messages.js").Messages} Messages */

export class Proposals {
  /**
   * @param {Store} store
   * @param {ImageView} view
   * @param {(command: string, fields: Record<string, any>) => Promise<any>} request
   * @param {Messages} messages
   */
  constructor(store, view, request, messages) {
    this.store = store;
    this.view = view;
    this.request = request;
    this.messages = messages;
    /** @type {{medium: number, frame: number} | null} */
    this.place = null;
    /** @type {{index: number, runs: Uint32Array, score: number}[]} those that were not taken */
    this.open = [];
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
      this.open = [];
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
    try {
      await this.request("propose", { medium, frame, class: currentClass });
    } catch (problem) {
      this.waiting = false;
      this.messages.problem(problem);
      this.onChange();
    }
  }

  /**
   * @param {{medium: number, frame: number, size: [number, number]}} header
   * @param {Mask[]} masks
   */
  receive(header, masks) {
    this.waiting = false;
    if (this.place?.medium === header.medium && this.place.frame === header.frame) {
      this.size = header.size;
      this.open = masks.map(({ runs, score }, index) => ({ index, runs, score: score || 0 }));
      this.draw();
    } else this.update();
    this.onChange();
  }

  draw() {
    this.view.setProposals(this.open, this.size);
  }

  /** @param {number[]} positions in the list of proposals that the view shows */
  async take(positions) {
    const { place } = this;
    const taken = positions.map((position) => this.open[position]).filter(Boolean);
    if (!place || !taken.length) return;
    this.open = this.open.filter((proposal) => !taken.includes(proposal));
    this.draw();
    this.onChange();
    try {
      await this.request("take_proposals", {
        ...place,
        indices: taken.map((proposal) => proposal.index),
        class: this.store.currentClass,
      });
    } catch (problem) {
      this.open = [...this.open, ...taken].sort((a, b) => a.index - b.index);
      this.draw();
      this.messages.problem(problem);
      this.onChange();
    }
  }

  takeAll() {
    return this.take(this.open.map((_, position) => position));
  }
}
