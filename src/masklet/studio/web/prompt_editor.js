/** Prompt editor: the prompt of the selected object on the frame that is shown, ahead of what the server confirmed. */

/** @import { Prompt } from "./prompt_overlay.js" */
/** @import { Store } from "./store.js" */
/** @import { Box } from "./transform.js" */

/**
 * A prompt that was sent. It is shown until the server's state includes it.
 *
 * @typedef {object} Draft
 * @property {number} medium
 * @property {number} frame
 * @property {number | null} object null until the server has created it
 * @property {Prompt} prompt
 * @property {number} turn counts the changes, so that only the reply to the last one ends the draft
 * @property {number | null} seq of the log, after the last reply
 * @property {boolean} finished whether the user went on to another object before it was created
 * @property {Promise<void>} [reply] of the server to the first prompt
 */

/** @typedef {Pick<Draft, "medium" | "object" | "reply">} FinishedObject with an id after the reply */

export class PromptEditor {
  /** @param {Store} store @param {import("./server.js").Server} server */
  constructor(store, server) {
    this.store = store;
    this.server = server;
    /** @type {Draft[]} */
    this.drafts = [];
    /** @type {FinishedObject | null} until something else is prompted or selected */
    this.finished = null;
  }

  /** @returns {Prompt} */
  get prompt() {
    const draft = this.draft;
    if (draft) return draft.prompt;
    const entry = this.store.promptOf(this.store.object);
    return entry ? { points: entry.points, box: entry.box } : { points: [], box: null };
  }

  /** @returns {Draft | undefined} */
  get draft() {
    const { medium, frame, object, seq } = this.store;
    this.drafts = this.drafts.filter((draft) => draft.seq === null || draft.seq > seq);
    return this.drafts.find(
      (draft) => draft.medium === medium && draft.frame === frame && draft.object === object && !draft.finished,
    );
  }

  /** @param {number} x @param {number} y @param {boolean} positive */
  addPoint(x, y, positive) {
    const { points, box } = this.prompt;
    return this.set({ points: [...points, [x, y, positive ? 1 : 0]], box });
  }

  /** @param {Box} box @param {boolean} add whether points stay */
  setBox(box, add) {
    return this.set({ points: add ? this.prompt.points : [], box });
  }

  removeBox() {
    return this.set({ points: this.prompt.points, box: null });
  }

  /** @param {number} index @param {number} x @param {number} y */
  movePoint(index, x, y) {
    const { points, box } = this.prompt;
    return this.set({ points: points.map((point, i) => (i === index ? [x, y, point[2]] : point)), box });
  }

  /** @param {number} index */
  removePoint(index) {
    const { points, box } = this.prompt;
    return this.set({ points: points.filter((_, i) => i !== index), box });
  }

  /** @returns {Draft | undefined} of the object that the server is creating */
  get creating() {
    return this.drafts.find((draft) => draft.object === null && !draft.finished);
  }

  /** Finish the object that is selected or being created: the next click starts a new one. */
  finish() {
    const { medium, object } = this.store;
    const draft = this.creating;
    for (const other of this.drafts) if (other.object === null) other.finished = true;
    this.store.select(null);
    this.store.touch("prompts");
    if (medium !== null && object !== null) this.finished = { medium, object };
    else if (draft) this.finished = draft;
  }

  /** Drop what was not confirmed, after the connection was lost. */
  reset() {
    this.drafts = [];
    this.finished = null;
    this.store.touch("prompts");
  }

  /**
   * Wait for the masks of all prompts.
   *
   * @returns {Promise<boolean>} whether they are there, and the same image or video is still shown
   */
  async settle() {
    const { medium } = this.store;
    await Promise.all(this.drafts.map((draft) => draft.reply));
    return (await this.server.send("settle", { medium })) !== null && medium === this.store.medium;
  }

  /**
   * Show a prompt and send it. While a new object is being created, later prompts wait for its id.
   *
   * @param {Prompt} prompt
   * @returns {Promise<void>} resolved when the server has replied
   */
  async set(prompt) {
    const { medium, frame, object } = this.store;
    if (medium === null) return;
    let draft = this.draft;
    const waits = draft !== undefined && draft.object === null;
    if (!draft) {
      draft = { medium, frame, object, prompt, turn: 0, seq: null, finished: false };
      this.drafts.push(draft);
    }
    draft.prompt = prompt;
    draft.turn++;
    draft.seq = null;
    this.store.touch("prompts");
    if (!waits) await (draft.reply = this.send(draft));
  }

  /** @param {Draft} draft */
  async send(draft) {
    const { turn, medium, frame, object } = draft;
    const reply = await this.requestOf(draft);
    if (reply) {
      if (object === null) await this.adopt(draft, reply.object, turn);
      if (draft.turn === turn) draft.seq = reply.seq ?? this.store.seq;
    } else if (draft.turn === turn || object === null) this.drafts = this.drafts.filter((other) => other !== draft);
    if (this.store.medium === medium && this.store.frame === frame) this.store.touch("prompts");
  }

  /** @param {Draft} draft */
  requestOf({ medium, frame, object, prompt }) {
    if (!prompt.points.length && !prompt.box && object !== null) {
      return this.server.send("clear", { medium, objects: [object], start: frame, stop: frame + 1 });
    }
    const fields = { medium, frame, object, points: prompt.points, box: prompt.box };
    return this.server.send("predict", object === null ? { ...fields, class: this.store.currentClass } : fields);
  }

  /**
   * Continue a draft with the object that the server created for it.
   *
   * @param {Draft} draft
   * @param {number} object
   * @param {number} turn of the prompt that was sent
   */
  async adopt(draft, object, turn) {
    const { medium, frame } = this.store;
    draft.object = object;
    if (!draft.finished && this.store.object === null && medium === draft.medium && frame === draft.frame) {
      this.store.select(object);
    }
    if (draft.turn !== turn) await this.send(draft);
  }
}
