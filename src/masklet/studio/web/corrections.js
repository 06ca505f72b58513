/** Corrections: changes of the selected object's mask by prompts, candidates, the brush and polygons. */

/**
 * @typedef {object} Parts
 * @property {import("./store.js").Store} store
 * @property {import("./server.js").Server} server
 * @property {import("./prompt_editor.js").PromptEditor} editor
 * @property {import("./tracking.js").Tracking} tracking
 * @property {import("./navigation.js").Navigation} navigation
 * @property {import("./mask_display.js").MaskDisplay} display
 * @property {import("./hover_preview.js").HoverPreview} preview
 * @property {import("./object_changes.js").ObjectChanges} objects
 * @property {import("./messages.js").Messages} messages
 */

export class Corrections {
  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
    this.store = parts.store;
  }

  /** Change the mask of the selected object, then plan what to recompute. @param {() => Promise<void>} change */
  async correct(change) {
    const { editor, tracking, navigation, display, preview, objects } = this.parts;
    const { medium } = this.store;
    editor.finished = null;
    preview.end();
    if (objects.refuseLocked(this.store.object, "change")) {
      display.draw();
      return;
    }
    navigation.stopFollowing();
    navigation.playback.pause();
    if (!navigation.returnToDisplayed()) {
      display.draw();
      return;
    }
    const { object, frame } = this.store;
    await change();
    if (object !== null && medium !== null) tracking.planRetracking(medium, object, frame);
  }

  /** @param {Uint32Array} runs @param {readonly [number, number]} size */
  paint(runs, size) {
    return this.correct(async () => {
      const { medium, frame, object, currentClass } = this.store;
      const fields = { medium, frame, object, class: currentClass, size };
      const payload = new Uint8Array(runs.buffer, runs.byteOffset, runs.byteLength);
      try {
        const reply = await this.parts.server.request("paint", fields, payload);
        if (object === null && this.store.object === null) this.store.select(reply.object);
      } catch (problem) {
        this.parts.messages.problem(problem);
        this.parts.display.drawMasks();
      }
    });
  }

  /** Finish the object: the next click starts a new one. */
  finish() {
    if (this.store.tool === "proposals") return;
    this.parts.editor.finish();
    this.parts.messages.note("The next click starts a new object.");
  }

  /** @returns {number | null} the candidate that is chosen; null if there are none */
  get candidate() {
    const { points, box } = this.parts.editor.prompt;
    if (this.store.object === null || box || points.length !== 1 || !this.store.selectedMask) return null;
    return this.store.promptOf(this.store.object)?.candidate ?? 0; // 0 is the best one
  }

  /** @param {number} candidate */
  async chooseCandidate(candidate) {
    const { medium, frame, object } = this.store;
    if (object === null) return;
    const reply = await this.parts.server.send("choose_candidate", { medium, frame, object, candidate });
    if (reply) this.parts.messages.note(`Candidate ${reply.candidate + 1} of 3.`);
  }

  /** @returns {boolean} whether there are candidates */
  nextCandidate() {
    const { candidate } = this;
    if (candidate === null) return false;
    this.chooseCandidate((candidate + 1) % 3);
    return true;
  }
}
