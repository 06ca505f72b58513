/** Application: connects the store, the server and the view, and does what buttons and shortcuts ask for. */

import { Connection } from "./connection.js";
import { confirm } from "./dialogs.js";
import { counted } from "./dom.js";
import { ImageView } from "./image_view.js";
import { sentence } from "./messages.js";
import { Playback } from "./playback.js";
import { PromptEditor } from "./prompt_editor.js";
import { PolygonSession } from "./polygon_session.js";
import { Proposals } from "./proposals.js";
import { splitRuns } from "./rle.js";
import { loadShortcuts } from "./shortcuts.js";
import { Store } from "./store.js";
import { Tracking, problemText } from "./tracking.js";

/** @typedef {import("./store.js").Tool} Tool */
/** @typedef {import("./store.js").Mask} Mask */
/** @typedef {import("./messages.js").Messages} Messages */
/** @typedef {import("./connection.js").ConnectionState} ConnectionState */
/** @typedef {Record<string, any>} Fields */

/** Commands that leave the project as it is. */
const READS = new Set(
  (
    "hello show hover get_polygons plan_tracking plan_retracking propose next_review get_lanes list_annotations " +
    "stop_tracking settle export"
  ).split(" "),
);
const NEW_OBJECT_COLOR = "#3b82f6";

export class App {
  /** @param {HTMLElement} container of the image view @param {Messages} messages */
  constructor(container, messages) {
    this.messages = messages;
    this.store = new Store();
    this.shortcuts = loadShortcuts();
    /** @type {ConnectionState} */
    this.connectionState = "connecting";
    /** @type {{what: string | null, medium?: number, frame?: number}} */
    this.busy = { what: null };
    this.unsaved = 0; // commands without a reply
    this.closing = false;
    this.loaded = false;
    this.previews = localStorage.getItem("masklet.previews") !== "off";
    this.opacity = Number(localStorage.getItem("masklet.opacity") || 0.5);
    this.hoverTurn = 0;
    this.modelProblem = ""; // why the model could not be loaded
    /** @type {import("./prompt_editor.js").FinishedObject | null} until something else is prompted or selected */
    this.finished = null;
    this.showing = false;
    /** @type {Map<number, number>} the frames of videos that were shown last */
    this.lastFrames = new Map();
    /** @type {(() => void)[]} */
    this.statusListeners = [];
    /** @type {((event: Fields) => void)[]} */
    this.exportListeners = [];

    const request = (/** @type {string} */ command, /** @type {Fields} */ fields) => this.request(command, fields);
    this.connection = new Connection(
      socketUrl(),
      {
        onEvent: (event) => this.receiveEvent(event),
        onBinary: (header, payload) => this.receiveBinary(header, payload),
        onState: (state, lost) => this.changeConnection(state, lost),
      },
      { authorized: isAuthorized },
    );
    this.editor = new PromptEditor(this.store, request, (problem) => this.messages.problem(problem));
    this.tracking = new Tracking(this.store, request, () => this.settle(), messages);
    this.tracking.onFollow = (medium, frame) => this.follow(medium, frame);
    this.playback = new Playback(this.store, (frame) => this.display(frame));
    this.view = new ImageView(container, this.viewActions());
    this.polygons = new PolygonSession(this.store, this.view, request, messages);
    this.proposals = new Proposals(this.store, this.view, request, messages);
    this.view.setOpacity(this.opacity);
    this.view.on("problem", ({ detail }) => this.messages.problem(detail));
    this.store.subscribe(["masks", "objects", "view"], () => this.drawMasks());
    this.store.subscribe(["selection", "prompts", "objects", "classes"], () => this.drawPrompt());
    this.store.subscribe(["tool"], () => this.view.setTool(this.store.tool));
    this.store.subscribe(["selection", "masks", "tool", "place"], () => this.polygons.update());
    this.store.subscribe(["tool", "place"], () => this.proposals.update());
    this.store.subscribe(["media"], () => this.showFirst());
    this.store.subscribe(["selection"], () => {
      if (this.store.object !== null) this.finished = null;
    });
  }

  start() {
    this.connection.open();
    addEventListener("beforeunload", (event) => {
      if (this.unsaved) event.preventDefault();
    });
    addEventListener("online", () => this.connection.retry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.connection.retry();
    });
  }

  // Requests and what the server sends

  /**
   * @param {string} command
   * @param {Fields} [fields]
   * @param {Uint8Array} [payload] of a binary command
   * @returns {Promise<any>} the reply
   */
  async request(command, fields = {}, payload) {
    const changes = !READS.has(command);
    if (changes) this.countUnsaved(1);
    try {
      if (payload) return await this.connection.requestBinary(command, fields, payload);
      return await this.connection.request(command, fields);
    } finally {
      if (changes) this.countUnsaved(-1);
    }
  }

  /**
   * Send a command and show its problem, if it has one.
   *
   * @param {string} command
   * @param {Fields} [fields]
   * @returns {Promise<any>} the reply, or null after a problem
   */
  async send(command, fields = {}) {
    try {
      return await this.request(command, fields);
    } catch (problem) {
      this.messages.problem(problem);
      return null;
    }
  }

  /** @param {number} change */
  countUnsaved(change) {
    this.unsaved += change;
    this.reportStatus();
  }

  /** @param {() => void} listener called when connection, activity or saved state change */
  onStatus(listener) {
    this.statusListeners.push(listener);
  }

  reportStatus() {
    for (const listener of this.statusListeners) listener();
  }

  /** @param {ConnectionState} state @param {string[]} lost */
  changeConnection(state, lost) {
    this.connectionState = state;
    this.busy = { what: null };
    if (state !== "open") this.modelProblem = "";
    const changes = lost.filter((command) => !READS.has(command)).length;
    if (changes) {
      this.messages.problem(
        `The connection was lost before ${counted(changes, "action")} could be confirmed. Look whether to repeat it.`,
      );
    }
    if (state === "open") this.loadProject();
    else {
      this.view.setEnabled(false);
      this.playback.pause();
    }
    this.reportStatus();
  }

  async loadProject() {
    this.store.expect();
    const hello = await this.send("hello");
    if (!hello) return;
    const reconnected = this.loaded;
    this.loaded = true;
    this.closing = false;
    this.editor.reset();
    this.finished = null;
    this.store.load(hello);
    this.tracking.load(hello.runs);
    this.view.setEnabled(true);
    if (this.store.medium === null) this.showFirst();
    else this.goTo(this.store.medium, this.store.frame);
    if (reconnected) this.messages.notice("Connected again.");
    document.title = `${this.store.project || "Project"} – masklet studio`;
    this.reportStatus();
  }

  /** @param {Fields} event */
  receiveEvent(event) {
    if (event.event === "changes") this.store.apply(event);
    else if (event.event === "progress" && "export" in event && event.export !== null) {
      for (const listener of this.exportListeners) listener(event);
    } else if (event.event === "progress") this.tracking.receive(event);
    else if (event.event === "busy") {
      this.busy = { what: event.what, medium: event.medium, frame: event.frame };
      this.reportStatus();
    } else if (event.event === "problem") {
      this.receiveProblem(event);
    } else if (event.event === "closing") {
      this.closing = true;
      this.messages.notice("The server has ended. Everything is saved.");
      this.reportStatus();
    }
  }

  /** @param {Fields} event `problem`: a command failed after its reply, or the model could not be loaded */
  receiveProblem({ command, problem }) {
    const text = problemText(problem, "The last action failed.");
    if (command === "load") this.modelProblem = text;
    else if (command === "show" && text === this.modelProblem) return; // the status line says it
    this.messages.problem(sentence(command === "load" ? `The model could not be loaded: ${text}` : text));
    this.reportStatus();
  }

  /** @param {Fields} header @param {ArrayBuffer} payload */
  receiveBinary(header, payload) {
    if (header.kind === "lanes") this.store.setLanes(/** @type {any} */ (header), payload);
    else if (header.kind === "masks") {
      const { medium, frame, seq, size } = header;
      if (medium !== this.store.medium || frame !== this.store.frame) return;
      this.store.setMasks({ medium, frame, seq, size, masks: splitRuns(header.masks, payload) });
    } else if (header.kind === "preview") {
      if (header.turn !== this.hoverTurn || !this.previews) return;
      const [mask] = splitRuns(header.masks, payload);
      if (mask) this.view.setPreview(mask.runs, header.size);
    } else if (header.kind === "proposals") {
      this.proposals.receive(/** @type {any} */ (header), splitRuns(header.masks, payload));
    }
  }

  // Places

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
    this.hoverTurn++;
    this.announceShow();
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
  async announceShow() {
    if (this.showing) return;
    this.showing = true;
    try {
      for (;;) {
        const { medium, frame } = this.store;
        if (medium === null) return;
        await this.request("show", { medium, frame });
        if (medium === this.store.medium && frame === this.store.frame) return;
      }
    } catch (problem) {
      if (this.connectionState === "open") this.messages.problem(problem);
    } finally {
      this.showing = false;
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
    if (!this.loaded || this.store.medium !== null) return;
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
    if (!this.playback.playing && !this.showing) this.goTo(medium, frame);
  }

  /** Step in the video, or through the images. @param {number} steps */
  step(steps) {
    const { store } = this;
    this.stopFollowing();
    if (store.isVideo) this.goTo(store.medium, store.frame + steps);
    else this.stepMedia(steps);
  }

  /** @param {number} steps */
  stepMedia(steps) {
    const to = this.store.neighbor(steps);
    if (to !== null) this.openMedium(to);
  }

  /** @param {"first" | "last"} end */
  stepToEnd(end) {
    const { store } = this;
    this.stopFollowing();
    if (store.isVideo) this.goTo(store.medium, end === "first" ? 0 : store.frames - 1);
    else this.stepMedia(end === "first" ? -store.media.size : store.media.size);
  }

  /** @param {number} medium */
  openMedium(medium) {
    this.stopFollowing();
    this.playback.pause();
    this.goTo(medium, this.lastFrames.get(medium) || 0);
  }

  stopFollowing() {
    this.tracking.follows = false;
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
  async stepReview(backward) {
    const { medium, frame } = this.store;
    const reply = await this.send("next_review", { medium, frame, backward });
    if (!reply) return;
    if (reply.frame === null) {
      this.messages.notice(`There is nothing to review ${backward ? "before" : "after"} this frame.`);
      return;
    }
    await this.jump(reply.frame);
    if (reply.object !== null) this.store.select(reply.object);
    if (reply.reason)
      this.messages.notice(
        `Frame ${reply.frame}, ${this.store.selectedName}: ${REASONS[reply.reason] || reply.reason}`,
      );
  }

  /** @param {boolean} backward */
  stepUnchecked(backward) {
    const to = this.store.neighbor(backward ? -1 : 1, { unchecked: true });
    if (to === null) this.messages.notice("All other images and videos are checked.");
    else this.openMedium(to);
  }

  /** @param {boolean} thenNext whether to go to the next unchecked medium */
  async toggleChecked(thenNext = false) {
    const { medium, shown } = this.store;
    if (medium === null || !shown) return;
    const reply = await this.send("change_media", { media: [medium], fields: { checked: thenNext || !shown.checked } });
    if (reply && thenNext) this.stepUnchecked(false);
  }

  // What the view asks for

  /** @returns {import("./tools/actions.js").Actions} */
  viewActions() {
    const edit = (/** @type {() => Promise<void>} */ change) => this.correct(change);
    return {
      click: (x, y, positive) => edit(() => this.editor.addPoint(x, y, positive)),
      box: (x0, y0, x1, y1, add) => edit(() => this.editor.setBox([x0, y0, x1, y1], add)),
      deleteBox: () => edit(() => this.editor.removeBox()),
      movePoint: (index, x, y) => edit(() => this.editor.movePoint(index, x, y)),
      deletePoint: (index) => edit(() => this.editor.removePoint(index)),
      hover: (x, y) => this.hover(x, y),
      hoverEnd: () => this.endHover(),
      paint: (runs, size) => this.paint(runs, size),
      setPolygons: (polygons) => edit(() => this.polygons.set(polygons)),
      pick: (object) => this.pick(object),
      takeProposal: (index) => this.proposals.take([index]),
    };
  }

  /**
   * Change the mask of the selected object, then plan what to recompute.
   *
   * @param {() => Promise<void>} change
   */
  async correct(change) {
    const { selected, medium } = this.store;
    this.finished = null;
    this.endHover();
    if (selected?.locked) {
      this.messages.problem(
        `${this.store.selectedName} is locked. Unlock it to change it${this.shortcuts.hint("object.lock")}.`,
      );
      this.drawAgain();
      return;
    }
    this.stopFollowing();
    this.playback.pause();
    if (!this.returnToDisplayed()) {
      this.drawAgain();
      return;
    }
    const { object, frame } = this.store;
    await change();
    if (object !== null && medium !== null) this.tracking.planRetracking(medium, object, frame);
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

  /** Draw the prompt and the masks of the store in place of a change that is refused. */
  drawAgain() {
    this.drawPrompt();
    this.drawMasks();
  }

  /** @param {Uint32Array} runs @param {readonly [number, number]} size */
  async paint(runs, size) {
    await this.correct(async () => {
      const { medium, frame, object, currentClass } = this.store;
      const fields = { medium, frame, object, class: currentClass, size };
      try {
        const reply = await this.request(
          "paint",
          fields,
          new Uint8Array(runs.buffer, runs.byteOffset, runs.byteLength),
        );
        if (object === null && this.store.object === null) this.store.select(reply.object);
      } catch (problem) {
        this.messages.problem(problem);
        this.drawMasks();
      }
    });
  }

  /** @param {number | null} object */
  pick(object) {
    this.store.select(object);
  }

  /** @param {number} x @param {number} y */
  async hover(x, y) {
    const { medium, frame, object, tool } = this.store;
    if (!this.previews || object !== null || tool !== "prompt" || this.playback.playing) return;
    if (this.connectionState !== "open" || this.editor.prompt.points.length) return;
    const turn = ++this.hoverTurn;
    try {
      await this.request("hover", { medium, frame, point: [x, y], turn });
    } catch {
      // a preview that fails is left out; the click reports the problem
    }
  }

  endHover() {
    this.hoverTurn++;
    this.view.setPreview(null);
  }

  drawMasks() {
    const { store } = this;
    const { masks } = store;
    if (!masks || masks.medium !== store.medium || masks.frame !== store.frame) return;
    const drawn = masks.masks.flatMap(({ object, runs }) => {
      const entry = store.objectOf(object);
      if (!entry) return [];
      return [{ object, runs, color: entry.color, hidden: !store.isVisible(object), locked: entry.locked }];
    });
    this.view.setMasks({ medium: masks.medium, frame: masks.frame, size: masks.size }, drawn);
  }

  drawPrompt() {
    const { store } = this;
    const color = store.currentClass === null ? NEW_OBJECT_COLOR : store.classes.get(store.currentClass)?.color;
    this.view.setActive(store.object, color);
    this.view.setPrompt(this.editor.prompt);
  }

  // Objects

  finish() {
    if (this.store.tool === "proposals") return;
    this.finished = this.editor.finish() || this.finished;
    this.messages.note("The next click starts a new object.");
  }

  cancel() {
    if (this.tracking.plan) this.tracking.dismiss();
    else if (this.store.object !== null) this.store.select(null);
    else if (this.store.range) this.store.setRange(null);
    else if (this.store.tool !== "prompt") this.store.setTool("prompt");
  }

  /** @returns {number | null} the candidate that is chosen; null if there are none */
  get candidate() {
    const { points, box } = this.editor.prompt;
    if (this.store.object === null || box || points.length !== 1 || !this.store.selectedMask) return null;
    return this.store.promptOf(this.store.object)?.candidate ?? 0; // 0 is the best one
  }

  /** @param {number} candidate */
  async chooseCandidate(candidate) {
    const { medium, frame, object } = this.store;
    if (object === null) return;
    const reply = await this.send("choose_candidate", { medium, frame, object, candidate });
    if (reply) this.messages.note(`Candidate ${reply.candidate + 1} of 3.`);
  }

  /** @returns {boolean} whether there are candidates */
  nextCandidate() {
    const { candidate } = this;
    if (candidate === null) return false;
    this.chooseCandidate((candidate + 1) % 3);
    return true;
  }

  /** @param {number} steps */
  stepObject(steps) {
    const ids = [...this.store.shownObjects.keys()].sort((a, b) => a - b);
    if (!ids.length) return;
    const at = this.store.object === null ? (steps > 0 ? -1 : ids.length) : ids.indexOf(this.store.object);
    this.store.select(ids[(at + steps + ids.length) % ids.length]);
    this.messages.announce(`${this.store.selectedName} selected.`);
  }

  /**
   * Change fields of objects of the medium that is shown.
   *
   * @param {number} object
   * @param {Fields} fields
   */
  changeObject(object, fields) {
    return this.send("change_object", { medium: this.store.medium, object, fields });
  }

  /** @param {number} digit */
  useDigit(digit) {
    const id = this.store.classOfDigit(digit);
    if (id === null) this.messages.notice(`No class has the digit ${digit}. Give it to one in the list of classes.`);
    else this.useClass(id);
  }

  /**
   * Set the class of the selected object and of the next ones; without one, of the object that is being created, or of
   * the last one if it has none.
   *
   * @param {number | null} id
   * @param {string} [name] of a class that this window has not been sent yet
   */
  async useClass(id, name = id === null ? "none" : this.store.classes.get(id)?.name || "") {
    const { store, finished } = this;
    const { creating } = this.editor;
    store.currentClass = id;
    store.touch("classes");
    const object =
      store.object ?? (creating ? await this.createdObject(creating) : await this.objectWithoutClass(finished));
    this.messages.note(`Class of ${object === null ? "" : `${store.nameOf(object)} and `}the next objects: ${name}.`);
    if (object !== null) await this.changeObject(object, { class: id });
  }

  /**
   * @param {import("./prompt_editor.js").FinishedObject | null} finished
   * @returns {Promise<number | null>} the object, if it is shown and has no class
   */
  async objectWithoutClass(finished) {
    const object = finished && (await this.createdObject(finished));
    return object !== null && this.store.objectOf(object)?.class === null ? object : null;
  }

  /**
   * @param {import("./prompt_editor.js").FinishedObject} created
   * @returns {Promise<number | null>} the object, once it exists, if it is shown
   */
  async createdObject(created) {
    await created.reply;
    const object = created.medium === this.store.medium ? created.object : null;
    for (let wait = 0; wait < 100 && object !== null && !this.store.objectOf(object); wait++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return object;
  }

  /** @param {"hidden" | "locked"} field @param {number | null} [object] */
  toggle(field, object = this.store.object) {
    const entry = object === null ? null : this.store.objectOf(object);
    if (object !== null && entry) this.changeObject(object, { [field]: !entry[field] });
  }

  toggleHideAll() {
    this.store.hideAll = !this.store.hideAll;
    this.store.touch("objects", "view");
  }

  /** @param {number | null} [object] */
  toggleSolo(object = this.store.object) {
    this.store.solo = this.store.solo === object ? null : object;
    this.store.touch("objects", "view");
  }

  /** @param {number | null} [object] */
  async removeObject(object = this.store.object) {
    const entry = object === null ? null : this.store.objectOf(object);
    if (object === null || !entry) return;
    if (entry.locked) {
      this.messages.problem(
        `${this.store.nameOf(object)} is locked. Unlock it to delete it${this.shortcuts.hint("object.lock")}.`,
      );
      return;
    }
    const name = this.store.nameOf(object);
    const reply = await this.send("remove_objects", { medium: this.store.medium, objects: [object] });
    if (reply) this.messages.notice(`${name} was deleted. Undo brings it back${this.shortcuts.hint("undo")}.`);
  }

  /** @returns {number[]} the selected object, or all that are visible */
  targets() {
    if (this.store.object !== null) return [this.store.object];
    return [...this.store.shownObjects.keys()].filter((object) => this.store.isVisible(object));
  }

  /** @returns {import("./store.js").Range} */
  get thisFrame() {
    return { start: this.store.frame, stop: this.store.frame + 1 };
  }

  /** @param {import("./store.js").Range} [range] */
  async clear(range = this.thisFrame) {
    const objects = this.targets();
    if (!objects.length) return;
    this.tracking.dismiss();
    await this.send("clear", { medium: this.store.medium, objects, ...range });
  }

  /** @param {import("./store.js").Range} [range] */
  async markAbsent(range = this.thisFrame) {
    const { medium, object, frame } = this.store;
    if (object === null) this.messages.notice("Select the object that is absent.");
    else if ((await this.send("mark_absent", { medium, objects: [object], ...range })) && medium !== null) {
      this.tracking.planRetracking(medium, object, frame);
    }
  }

  /** @returns {number[]} the objects that are visible and not locked; with "Selected", the selected one */
  acceptable() {
    const { store } = this;
    if (this.tracking.onlySelected && store.object !== null) return [store.object];
    return [...store.shownObjects].filter(([id, { locked }]) => !locked && store.isVisible(id)).map(([id]) => id);
  }

  /**
   * Accept masks. If all are accepted, take it back.
   *
   * @param {import("./store.js").Range} [range]
   * @param {number[]} [objects] by default those that `acceptable` lists
   */
  async accept(range = this.thisFrame, objects) {
    if (!(await this.settle())) return;
    const { medium } = this.store;
    objects ??= this.acceptable();
    const cells = [];
    for (const object of objects)
      for (let frame = range.start; frame < range.stop; frame++) cells.push(this.store.cellOf(object, frame));
    const filled = cells.filter((byte) => byte & 7);
    if (!filled.length) {
      this.messages.notice("There is no mask to accept.");
      return;
    }
    const accepted = !filled.every((byte) => byte & 8);
    const reply = await this.send("accept", { medium, objects, ...range, accepted });
    if (reply)
      this.messages.note(`${counted(filled.length, "mask")} ${accepted ? "accepted" : "not accepted any more"}.`);
  }

  /**
   * Wait for the masks of all prompts.
   *
   * @returns {Promise<boolean>} whether they are there, and the same image or video is still shown
   */
  async settle() {
    const { medium } = this.store;
    await Promise.all(this.editor.drafts.map((draft) => draft.reply));
    return (await this.send("settle", { medium })) !== null && medium === this.store.medium;
  }

  /** @param {(range: import("./store.js").Range) => unknown} act */
  inRange(act) {
    if (this.store.range) act(this.store.range);
    else this.messages.notice("Select a range on the timeline first, by dragging or with I and O.");
  }

  async copyToNext() {
    const { store } = this;
    const { medium, frame } = store;
    if (!(await this.settle())) return;
    const objects = this.targets();
    const toMedium = store.isVideo ? medium : store.neighbor(1);
    const toFrame = store.isVideo ? frame + 1 : 0;
    if (toMedium === null || toFrame >= (store.media.get(toMedium)?.frames || 1)) {
      this.messages.notice("There is no next image or frame.");
      return;
    }
    if (!objects.length) {
      this.messages.notice("There are no objects to copy.");
      return;
    }
    const fields = { medium, frame, objects, to_medium: toMedium, to_frame: toFrame };
    const reply = await this.send("copy_objects", fields);
    if (!reply) return;
    this.messages.notice(`${counted(objects.length, "object")} copied.`);
    this.goTo(toMedium, toFrame);
  }

  /** @param {"undo" | "redo"} command */
  async undo(command) {
    const reply = await this.send(command);
    if (!reply) return;
    this.tracking.dismiss();
    if (!reply.action) this.messages.notice(`There is nothing to ${command}.`);
    else this.messages.note(`${command === "undo" ? "Undone" : "Redone"}: ${actionName(reply.action)}.`);
  }

  // Tracking and ranges

  track() {
    if (this.tracking.plan) this.tracking.retrack();
    else this.tracking.track("forward");
  }

  trackRange() {
    this.inRange((range) => this.tracking.track("both", range));
  }

  /** @param {"start" | "stop"} end */
  setRangeEnd(end) {
    const { store } = this;
    if (!store.isVideo) return;
    const { frame } = store;
    const range = store.range || { start: 0, stop: store.frames };
    if (end === "start") store.setRange({ start: frame, stop: Math.max(range.stop, frame + 1) });
    else store.setRange({ start: Math.min(range.start, frame), stop: frame + 1 });
  }

  // View

  /** @param {Tool} tool */
  useTool(tool) {
    this.store.setTool(tool);
    this.messages.announce(`Tool: ${TOOL_NAMES[tool]}.`);
  }

  /** @param {number} opacity */
  setOpacity(opacity) {
    this.opacity = opacity;
    localStorage.setItem("masklet.opacity", String(opacity));
    this.view.setOpacity(opacity);
  }

  /** @param {boolean} on */
  setPreviews(on) {
    this.previews = on;
    localStorage.setItem("masklet.previews", on ? "on" : "off");
    if (!on) this.endHover();
  }

  reportSaved() {
    if (this.connectionState !== "open")
      this.messages.problem("The server is not connected. What it confirmed is saved.");
    else if (this.unsaved) this.messages.notice("The last action is being saved.");
    else this.messages.notice("Everything is saved. Each action is saved when it happens.");
  }

  /** Remove a class after a question. @param {number} id */
  async removeClass(id) {
    const entry = this.store.classes.get(id);
    if (!entry) return;
    let users = 0;
    for (const objects of this.store.objects.values())
      for (const object of objects.values()) if (object.class === id) users++;
    const text = users
      ? `${counted(users, "object")} will have no class. Undo brings it back.`
      : "No object has this class.";
    if (await confirm({ title: `Delete the class ${entry.name}?`, text, confirm: "Delete" })) {
      await this.send("remove_class", { class: id });
    }
  }
}

/** @type {Record<string, string>} why a frame should be reviewed */
const REASONS = {
  low_score: "the score is low",
  area_jump: "the size of the mask jumps",
  disappeared: "the object disappears",
};

/** @type {Record<Tool, string>} */
export const TOOL_NAMES = {
  select: "Select objects",
  prompt: "Points and boxes",
  brush: "Brush",
  eraser: "Eraser",
  polygon: "Polygon",
  proposals: "Proposals",
};

/** @param {string} action of the log, such as "mark_absent" @returns {string} in words */
export function actionName(action) {
  return action.replaceAll("_", " ");
}

function socketUrl() {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`;
}

/** @returns {Promise<boolean>} false if the server refuses the cookie of this window */
async function isAuthorized() {
  try {
    return (await fetch("/", { method: "HEAD", cache: "no-store" })).status !== 401;
  } catch {
    return true;
  }
}
