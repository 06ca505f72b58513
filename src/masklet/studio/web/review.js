/** Review: accepts, clears and marks masks of frames, and steps to what needs attention. */

import { counted } from "./dom.js";

/** @import { Range, Store } from "./store.js" */

/** @type {Record<string, string>} why a frame should be reviewed */
const REASONS = {
  low_score: "the score is low",
  area_jump: "the size of the mask jumps",
  disappeared: "the object disappears",
};

export class Review {
  /**
   * @param {Store} store
   * @param {import("./server.js").Server} server
   * @param {import("./prompt_editor.js").PromptEditor} editor
   * @param {import("./tracking.js").Tracking} tracking
   * @param {import("./navigation.js").Navigation} navigation
   * @param {import("./messages.js").Messages} messages
   */
  constructor(store, server, editor, tracking, navigation, messages) {
    this.store = store;
    this.server = server;
    this.editor = editor;
    this.tracking = tracking;
    this.navigation = navigation;
    this.messages = messages;
  }

  /** @returns {Range} */
  get thisFrame() {
    return { start: this.store.frame, stop: this.store.frame + 1 };
  }

  /** @param {(range: Range) => unknown} act */
  inRange(act) {
    if (this.store.range) act(this.store.range);
    else this.messages.notice("Select a range on the timeline first, by dragging or with I and O.");
  }

  /** @param {Range} [range] */
  async clear(range = this.thisFrame) {
    const objects = this.store.targets;
    if (!objects.length) return;
    this.tracking.dismiss();
    await this.server.send("clear", { medium: this.store.medium, objects, ...range });
  }

  /** @param {Range} [range] */
  async markAbsent(range = this.thisFrame) {
    const { medium, object, frame } = this.store;
    if (object === null) this.messages.notice("Select the object that is absent.");
    else if ((await this.server.send("mark_absent", { medium, objects: [object], ...range })) && medium !== null) {
      this.tracking.planRetracking(medium, object, frame);
    }
  }

  /** @returns {number[]} the objects that are visible and not locked; with "Selected", the selected one */
  get acceptable() {
    const { store } = this;
    if (this.tracking.onlySelected && store.object !== null) return [store.object];
    return [...store.shownObjects].filter(([id, { locked }]) => !locked && store.isVisible(id)).map(([id]) => id);
  }

  /**
   * Accept masks. If all are accepted, take it back.
   *
   * @param {Range} [range]
   * @param {number[]} [objects] by default those that are acceptable
   */
  async accept(range = this.thisFrame, objects) {
    if (!(await this.editor.settle())) return;
    const { medium } = this.store;
    objects ??= this.acceptable;
    const cells = [];
    for (const object of objects)
      for (let frame = range.start; frame < range.stop; frame++) cells.push(this.store.cellOf(object, frame));
    const filled = cells.filter((byte) => byte & 7);
    if (!filled.length) {
      this.messages.notice("There is no mask to accept.");
      return;
    }
    const accepted = !filled.every((byte) => byte & 8);
    const reply = await this.server.send("accept", { medium, objects, ...range, accepted });
    if (reply)
      this.messages.note(`${counted(filled.length, "mask")} ${accepted ? "accepted" : "not accepted any more"}.`);
  }

  /** @param {boolean} backward */
  async step(backward) {
    const { medium, frame } = this.store;
    const reply = await this.server.send("next_review", { medium, frame, backward });
    if (!reply) return;
    if (reply.frame === null) {
      this.messages.notice(`There is nothing to review ${backward ? "before" : "after"} this frame.`);
      return;
    }
    await this.navigation.jump(reply.frame);
    if (reply.object !== null) this.store.select(reply.object);
    if (reply.reason)
      this.messages.notice(
        `Frame ${reply.frame}, ${this.store.selectedName}: ${REASONS[reply.reason] || reply.reason}`,
      );
  }

  /** @param {boolean} thenNext whether to go to the next unchecked medium */
  async toggleChecked(thenNext = false) {
    const { medium, shown } = this.store;
    if (medium === null || !shown) return;
    const fields = { checked: thenNext || !shown.checked };
    const reply = await this.server.send("change_media", { media: [medium], fields });
    if (reply && thenNext) this.navigation.stepUnchecked(false);
  }
}
