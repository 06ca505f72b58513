/** Store: the project as the server reports it, and what this window shows and selects. */

import { isAnnotated } from "./lane_colors.js";

/** @import { Prompt } from "./prompt_overlay.js" */

/**
 * @typedef {object} Medium
 * @property {string} path
 * @property {"image" | "video"} kind
 * @property {[number, number]} size height, width
 * @property {number} frames
 * @property {[number, number] | null} times start in seconds, frames per second
 * @property {boolean} checked
 */
/** @typedef {{name: string, color: string, attributes: string[], digit: number | null}} ObjectClass */
/**
 * @typedef {object} StudioObject
 * @property {string} name may be empty
 * @property {number | null} class
 * @property {string} color
 * @property {boolean} hidden
 * @property {boolean} locked
 * @property {Record<string, string>} attributes
 */
/** @typedef {Prompt & {candidate: number | null}} PromptEntry */
/** @typedef {{object: number, runs: Uint32Array, score: number | null, source: string, accepted: boolean}} Mask */
/** @typedef {{medium: number, frame: number, seq: number, size: [number, number], masks: Mask[]}} FrameMasks */
/**
 * @typedef {object} Lanes
 * @property {number} frames
 * @property {Map<number, Uint8Array>} cells a byte per frame, by object
 * @property {Map<number, number>} versions how often they changed, by object
 */
/** @typedef {import("./image_view.js").ToolName} Tool */
/** @typedef {{start: number, stop: number}} Range frames from start to before stop */
/**
 * @typedef {"project" | "media" | "classes" | "objects" | "prompts" | "lanes" | "masks" | "place" | "selection" | "tool"
 *   | "range" | "undo" | "view"} Topic
 */

const FIELDS = ["project", "model", "detector", "undo", "redo"];

export class Store {
  constructor() {
    this.loaded = false;
    this.project = "";
    this.model = "";
    /** @type {string | null} name of the detector of objects that a text names */
    this.detector = null;
    this.seq = 0;
    /** @type {Record<string, any>[] | null} changes since the state was requested, while it is expected */
    this.early = null;
    /** @type {string | null} */
    this.undo = null;
    /** @type {string | null} */
    this.redo = null;
    /** @type {string[]} */
    this.formats = [];
    /** @type {string[]} */
    this.effects = [];
    /** @type {{name: string, url: string}[]} */
    this.cameras = [];
    /** @type {Map<number, Medium>} */
    this.media = new Map();
    /** @type {Map<number, ObjectClass>} */
    this.classes = new Map();
    /** @type {Map<number, Map<number, StudioObject>>} */
    this.objects = new Map();
    /** @type {Map<string, Map<number, PromptEntry>>} */
    this.prompts = new Map();
    /** @type {Map<number, Lanes>} */
    this.lanes = new Map();
    /** @type {FrameMasks | null} */
    this.masks = null;

    /** @type {number | null} */
    this.medium = null;
    this.frame = 0;
    /** @type {number | null} */
    this.object = null;
    /** @type {number | null} */
    this.currentClass = null;
    /** @type {Tool} */
    this.tool = "prompt";
    /** @type {Range | null} */
    this.range = null;
    /** @type {number | null} the object that is shown alone */
    this.solo = null;
    this.hideAll = false;

    /** @type {Set<Topic>} */
    this.dirty = new Set();
    /** @type {{topics: Set<Topic>, listener: (topics: Set<Topic>) => void}[]} */
    this.listeners = [];
  }

  /**
   * Call `listener` after changes of the topics, once for all changes of a turn.
   *
   * @param {Topic[]} topics
   * @param {(topics: Set<Topic>) => void} listener
   */
  subscribe(topics, listener) {
    this.listeners.push({ topics: new Set(topics), listener });
  }

  /** @param {...Topic} topics */
  touch(...topics) {
    if (this.dirty.size === 0) queueMicrotask(() => this.flush());
    for (const topic of topics) this.dirty.add(topic);
  }

  flush() {
    const changed = this.dirty;
    this.dirty = new Set();
    for (const { topics, listener } of this.listeners) {
      if ([...changed].some((topic) => topics.has(topic))) listener(changed);
    }
  }

  /** Keep the changes from now until `load`, since some may arrive before a state that lacks them. */
  expect() {
    this.early = [];
  }

  /** @param {Record<string, any>} reply of the command `hello` */
  load(reply) {
    this.loaded = true;
    for (const field of FIELDS) /** @type {any} */ (this)[field] = reply[field] ?? null;
    const { name } = reply.entries.project || {};
    this.project = name || String(reply.project || "");
    this.seq = reply.seq;
    this.formats = reply.formats || [];
    this.effects = reply.effects || [];
    this.cameras = reply.cameras || [];
    for (const map of [this.media, this.classes, this.objects, this.prompts, this.lanes]) map.clear();
    this.masks = null;
    for (const [key, value] of Object.entries(reply.entries)) this.setEntry(key, value);
    if (this.medium !== null && !this.media.has(this.medium)) this.medium = null;
    if (!this.objectOf(this.object)) this.object = null;
    if (!this.objectOf(this.solo)) this.solo = null;
    if (this.currentClass !== null && !this.classes.has(this.currentClass)) this.currentClass = null;
    this.touch("project", "media", "classes", "objects", "prompts", "lanes", "masks", "place", "selection", "undo");
    /** @type {Record<string, any>[]} */
    const early = this.early || [];
    this.early = null;
    for (const event of early) if (event.seq > reply.seq) this.apply(event);
  }

  /** @param {Record<string, any>} event `changes` */
  apply(event) {
    this.early?.push(event);
    this.seq = event.seq;
    this.undo = event.undo ?? null;
    this.redo = event.redo ?? null;
    this.touch("undo");
    for (const [key, value] of Object.entries(event.entries || {})) this.setEntry(key, value);
    for (const [medium, object, frame, byte] of event.cells || []) this.setCell(medium, object, frame, byte);
  }

  /** @param {string} key @param {any} value null removes the entry */
  setEntry(key, value) {
    const [kind, ...rest] = key.split("/");
    const ids = rest.map(Number);
    if (kind === "project") {
      this.project = value?.name || this.project;
      this.touch("project");
    } else if (kind === "media") {
      setOrDelete(this.media, ids[0], value);
      this.touch("media");
    } else if (kind === "class") {
      setOrDelete(this.classes, ids[0], value);
      if (value === null && this.currentClass === ids[0]) this.currentClass = null;
      this.touch("classes");
    } else if (kind === "object") {
      setOrDelete(childMap(this.objects, ids[0]), ids[1], value);
      if (value === null) {
        this.lanes.get(ids[0])?.cells.delete(ids[1]);
        if (ids[0] === this.medium && ids[1] === this.object) this.select(null);
        if (ids[0] === this.medium && ids[1] === this.solo) this.solo = null;
      }
      this.touch("objects", "lanes");
    } else if (kind === "prompt") {
      setOrDelete(childMap(this.prompts, `${ids[0]}/${ids[1]}`), ids[2], value);
      this.touch("prompts");
    }
  }

  /** @param {number} medium @param {number} object @param {number} frame @param {number} byte */
  setCell(medium, object, frame, byte) {
    const lanes = this.lanes.get(medium);
    if (!lanes) return;
    let cells = lanes.cells.get(object);
    if (!cells) lanes.cells.set(object, (cells = new Uint8Array(lanes.frames)));
    cells[frame] = byte;
    lanes.versions.set(object, (lanes.versions.get(object) || 0) + 1);
    this.touch("lanes");
  }

  /**
   * @param {{medium: number, frames: number, objects: number[]}} header of the binary message `lanes`
   * @param {ArrayBuffer} payload
   */
  setLanes(header, payload) {
    const cells = new Map(
      header.objects.map((object, row) => [
        object,
        new Uint8Array(payload, row * header.frames, header.frames).slice(),
      ]),
    );
    this.lanes.set(header.medium, { frames: header.frames, cells, versions: new Map() });
    this.touch("lanes");
  }

  /** @param {FrameMasks} masks */
  setMasks(masks) {
    const last = this.masks;
    const same = last && last.medium === masks.medium && last.frame === masks.frame;
    if (same && masks.seq < last.seq) return;
    this.masks = masks;
    this.touch("masks");
  }

  /** @param {number | null} medium @param {number} frame */
  goTo(medium, frame) {
    if (medium !== this.medium) {
      this.object = null;
      this.range = null;
      this.solo = null;
      this.touch("selection", "objects", "prompts", "lanes", "range");
    }
    this.medium = medium;
    this.frame = Math.max(0, Math.min(frame, this.frames - 1));
    this.touch("place", "prompts");
  }

  /** @param {number | null} object */
  select(object) {
    if (object === this.object) return;
    this.object = object;
    this.touch("selection");
  }

  /** @param {Tool} tool */
  setTool(tool) {
    if (tool === this.tool) return;
    this.tool = tool;
    this.touch("tool");
  }

  /** @param {Range | null} range */
  setRange(range) {
    this.range = range;
    this.touch("range");
  }

  /** Start or end the range at the frame that is shown. @param {"start" | "stop"} end */
  setRangeEnd(end) {
    if (!this.isVideo) return;
    const { frame } = this;
    const range = this.range || { start: 0, stop: this.frames };
    if (end === "start") this.setRange({ start: frame, stop: Math.max(range.stop, frame + 1) });
    else this.setRange({ start: Math.min(range.start, frame), stop: frame + 1 });
  }

  /** @returns {Medium | null} the medium that is shown */
  get shown() {
    return this.medium === null ? null : this.media.get(this.medium) || null;
  }

  /** @returns {number} frames of the medium that is shown */
  get frames() {
    return this.shown?.frames || 1;
  }

  /** @returns {boolean} */
  get isVideo() {
    return this.shown?.kind === "video";
  }

  /** @returns {Map<number, StudioObject>} the objects of the medium that is shown, by id */
  get shownObjects() {
    return (this.medium !== null && this.objects.get(this.medium)) || new Map();
  }

  /** @returns {StudioObject | null} the selected object */
  get selected() {
    return this.objectOf(this.object);
  }

  /** @returns {number[]} the ids of these objects, in order */
  get objectIds() {
    return [...this.shownObjects.keys()].sort((a, b) => a - b);
  }

  /** @returns {number[]} the selected object, or all that are visible */
  get targets() {
    if (this.object !== null) return [this.object];
    return [...this.shownObjects.keys()].filter((object) => this.isVisible(object));
  }

  /** @param {number | null} object @returns {StudioObject | null} */
  objectOf(object) {
    return (object !== null && this.shownObjects.get(object)) || null;
  }

  /** @param {number | null} id @returns {string} empty without a class */
  className(id) {
    return (id !== null && this.classes.get(id)?.name) || "";
  }

  /** @param {number} object @returns {string} its name; without one its class or "Object", and its number */
  nameOf(object) {
    const entry = this.objectOf(object);
    return entry?.name || `${this.className(entry && entry.class) || "Object"} ${object}`;
  }

  /** @returns {string} name of the selected object */
  get selectedName() {
    return this.object === null ? "" : this.nameOf(this.object);
  }

  /** @param {number | null} object @returns {PromptEntry | null} its prompt on the frame that is shown */
  promptOf(object) {
    return this.prompts.get(`${this.medium}/${object}`)?.get(this.frame) || null;
  }

  /** @returns {Lanes | null} of the medium that is shown */
  get shownLanes() {
    return (this.medium !== null && this.lanes.get(this.medium)) || null;
  }

  /** @param {number} object @param {number} [frame] @returns {number} its cell as a byte */
  cellOf(object, frame = this.frame) {
    return this.shownLanes?.cells.get(object)?.[frame] || 0;
  }

  /** @returns {Mask | null} the mask of the selected object on the frame */
  get selectedMask() {
    return this.shownMasks?.masks.find((mask) => mask.object === this.object) || null;
  }

  /** @returns {FrameMasks | null} the masks of the frame that is shown */
  get shownMasks() {
    const { masks } = this;
    return masks && masks.medium === this.medium && masks.frame === this.frame ? masks : null;
  }

  /** @param {number} object */
  isVisible(object) {
    if (this.hideAll) return false;
    if (this.solo !== null) return object === this.solo;
    return !this.objectOf(object)?.hidden;
  }

  /** @param {number} digit */
  classOfDigit(digit) {
    for (const [id, entry] of this.classes) if (entry.digit === digit) return id;
    return null;
  }

  /** Media in the order of the list. @param {{search?: string, unchecked?: boolean}} [filter] @returns {number[]} */
  mediaList(filter = {}) {
    const search = (filter.search || "").trim().toLowerCase();
    const ids = [...this.media.keys()].sort((a, b) => a - b);
    return ids.filter((id) => {
      const medium = /** @type {Medium} */ (this.media.get(id));
      return !(filter.unchecked && medium.checked) && (!search || this.matches(id, medium, search));
    });
  }

  /** @param {number} id @param {Medium} medium @param {string} search in lower case */
  matches(id, medium, search) {
    if (medium.path.toLowerCase().includes(search)) return true;
    for (const object of this.objects.get(id)?.values() || []) {
      const texts = [this.className(object.class), object.name, ...Object.values(object.attributes || {})];
      if (texts.some((text) => text.toLowerCase().includes(search))) return true;
    }
    return false;
  }

  /**
   * The medium `steps` further in the list.
   *
   * @param {number} steps
   * @param {{unchecked?: boolean}} [filter] with `unchecked`, media that are checked do not count
   * @returns {number | null} null where the list ends
   */
  neighbor(steps, filter = {}) {
    const ids = this.mediaList();
    const at = this.medium === null ? -1 : ids.indexOf(this.medium);
    if (!filter.unchecked) {
      const to = Math.max(0, Math.min(ids.length - 1, at + steps));
      return to === at || !ids.length ? null : ids[to];
    }
    const order =
      steps > 0
        ? [...ids.slice(at + 1), ...ids.slice(0, at)]
        : [...ids.slice(0, at).reverse(), ...ids.slice(at + 1).reverse()];
    return order.find((id) => !this.media.get(id)?.checked) ?? null;
  }

  /** @param {boolean} backward @returns {number | null} the next frame with a prompt, an edit or an import */
  annotatedFrame(backward) {
    const lanes = this.shownLanes;
    if (!lanes) return null;
    const rows = this.object === null ? [...lanes.cells.values()] : [lanes.cells.get(this.object) || new Uint8Array()];
    const step = backward ? -1 : 1;
    for (let frame = this.frame + step; frame >= 0 && frame < lanes.frames; frame += step) {
      if (rows.some((row) => isAnnotated(row[frame]))) return frame;
    }
    return null;
  }

  /** @param {number} frame @returns {number} seconds from the start of the video */
  timeOf(frame) {
    const [start, rate] = this.shown?.times || [0, 25];
    return (start || 0) + frame / (rate || 25);
  }
}

/**
 * @template K, V
 * @param {Map<K, V>} map
 * @param {K} key
 * @param {V | null} value
 */
function setOrDelete(map, key, value) {
  if (value === null) map.delete(key);
  else map.set(key, value);
}

/**
 * @template K, K2, V
 * @param {Map<K, Map<K2, V>>} map
 * @param {K} key
 * @returns {Map<K2, V>}
 */
function childMap(map, key) {
  let child = map.get(key);
  if (!child) map.set(key, (child = new Map()));
  return child;
}
