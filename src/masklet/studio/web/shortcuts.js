/** Keyboard shortcuts: the actions, their keys, conflicts, and what the user changed. */

/**
 * @typedef {object} Action
 * @property {string} id
 * @property {string} group
 * @property {string} title
 * @property {string[]} keys the keys by default, such as "Ctrl+Shift+Z"
 * @property {boolean} [fixed] whether the keys cannot be changed
 * @property {boolean} [repeat] whether holding the key down repeats the action
 */

/** @type {Action[]} */
export const ACTIONS = [
  { id: "finish", group: "Segment", title: "Finish the object; the next click starts a new one", keys: ["Enter", "N"] },
  { id: "cancel", group: "Segment", title: "Cancel or deselect", keys: ["Escape"] },
  { id: "candidate", group: "Segment", title: "Next candidate mask after a single click", keys: ["Tab"] },
  { id: "remove", group: "Segment", title: "Delete the object or the polygon's vertex", keys: ["Delete", "Backspace"] },
  { id: "clear", group: "Segment", title: "Clear the object on this frame", keys: ["Shift+Delete", "Shift+Backspace"] },
  { id: "undo", group: "Segment", title: "Undo", keys: ["Ctrl+Z"], repeat: true },
  { id: "redo", group: "Segment", title: "Redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], repeat: true },
  { id: "save", group: "Segment", title: "Confirm that everything is saved", keys: ["Ctrl+S"] },

  { id: "tool.select", group: "Tools", title: "Select objects", keys: ["V"] },
  { id: "tool.prompt", group: "Tools", title: "Points and boxes", keys: ["P"] },
  { id: "tool.brush", group: "Tools", title: "Brush", keys: ["B"] },
  { id: "tool.eraser", group: "Tools", title: "Eraser", keys: ["E"] },
  { id: "tool.polygon", group: "Tools", title: "Polygon", keys: ["G"] },
  { id: "tool.proposals", group: "Tools", title: "Proposals to click on", keys: ["M"] },
  { id: "brush.smaller", group: "Tools", title: "Smaller brush", keys: ["["], repeat: true },
  { id: "brush.larger", group: "Tools", title: "Larger brush", keys: ["]"], repeat: true },
  { id: "cursor", group: "Tools", title: "Place points with the arrow keys", keys: ["F"] },

  { id: "object.previous", group: "Objects", title: "Previous object", keys: ["PageUp", "W"], repeat: true },
  { id: "object.next", group: "Objects", title: "Next object", keys: ["PageDown", "S"], repeat: true },
  {
    id: "object.class",
    group: "Objects",
    title: "Class of the object, or of the next one",
    keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    fixed: true,
  },
  { id: "object.rename", group: "Objects", title: "Rename the object", keys: ["F2"] },
  { id: "object.hide", group: "Objects", title: "Hide or show the object", keys: ["H"] },
  { id: "object.hideAll", group: "Objects", title: "Hide or show all objects", keys: ["Shift+H"] },
  { id: "object.solo", group: "Objects", title: "Show only this object", keys: ["Shift+S"] },
  { id: "object.lock", group: "Objects", title: "Lock or unlock the object", keys: ["L"] },
  { id: "object.absent", group: "Objects", title: "Mark the object as absent on this frame", keys: ["X"] },
  { id: "object.copy", group: "Objects", title: "Copy the objects to the next image or frame", keys: ["C"] },

  {
    id: "step.back",
    group: "Frames and images",
    title: "Previous frame or image",
    keys: ["ArrowLeft", "A"],
    repeat: true,
  },
  {
    id: "step.next",
    group: "Frames and images",
    title: "Next frame or image",
    keys: ["ArrowRight", "D"],
    repeat: true,
  },
  { id: "step.back10", group: "Frames and images", title: "10 back", keys: ["Shift+ArrowLeft"], repeat: true },
  { id: "step.next10", group: "Frames and images", title: "10 forward", keys: ["Shift+ArrowRight"], repeat: true },
  { id: "step.first", group: "Frames and images", title: "First frame or image", keys: ["Home"] },
  { id: "step.last", group: "Frames and images", title: "Last frame or image", keys: ["End"] },
  {
    id: "annotated.previous",
    group: "Frames and images",
    title: "Previous annotated frame",
    keys: [","],
    repeat: true,
  },
  { id: "annotated.next", group: "Frames and images", title: "Next annotated frame", keys: ["."], repeat: true },
  {
    id: "media.previous",
    group: "Frames and images",
    title: "Previous image or video",
    keys: ["Ctrl+ArrowLeft"],
    repeat: true,
  },
  {
    id: "media.next",
    group: "Frames and images",
    title: "Next image or video",
    keys: ["Ctrl+ArrowRight"],
    repeat: true,
  },
  { id: "unchecked.next", group: "Frames and images", title: "Next unchecked image or video", keys: ["U"] },
  {
    id: "unchecked.previous",
    group: "Frames and images",
    title: "Previous unchecked image or video",
    keys: ["Shift+U"],
  },
  { id: "check", group: "Frames and images", title: "Mark as checked or unchecked", keys: ["Shift+Enter"] },
  {
    id: "checkNext",
    group: "Frames and images",
    title: "Mark as checked and go to the next unchecked",
    keys: ["Ctrl+Enter"],
  },

  { id: "play", group: "Video", title: "Play or pause", keys: ["Space"] },
  { id: "track", group: "Video", title: "Track forward, or recompute after a correction", keys: ["T"] },
  { id: "track.both", group: "Video", title: "Track in both directions", keys: ["Shift+T"] },
  { id: "track.backward", group: "Video", title: "Track backward", keys: ["Alt+T"] },
  { id: "track.range", group: "Video", title: "Track the selected range", keys: ["R"] },
  { id: "track.stop", group: "Video", title: "Stop tracking", keys: ["Q"] },
  { id: "range.start", group: "Video", title: "Start the range at this frame", keys: ["I"] },
  { id: "range.stop", group: "Video", title: "End the range at this frame", keys: ["O"] },
  { id: "review.next", group: "Video", title: "Next frame to review", keys: ["J"] },
  { id: "review.previous", group: "Video", title: "Previous frame to review", keys: ["K"] },
  { id: "accept", group: "Video", title: "Accept the masks of this frame", keys: ["Y"] },
  {
    id: "clearRange",
    group: "Video",
    title: "Clear the masks of the range that are not accepted",
    keys: ["Ctrl+Delete"],
  },
  { id: "absentRange", group: "Video", title: "Mark the object as absent in the range", keys: ["Shift+X"] },
  { id: "acceptRange", group: "Video", title: "Accept the masks of the range", keys: ["Shift+Y"] },

  { id: "zoom.in", group: "View", title: "Zoom in", keys: ["+", "="], repeat: true },
  { id: "zoom.out", group: "View", title: "Zoom out", keys: ["-"], repeat: true },
  { id: "zoom.fit", group: "View", title: "Fit to the canvas", keys: ["0"] },
  { id: "zoom.full", group: "View", title: "100 %", keys: ["Ctrl+0"] },
  { id: "panel.media", group: "View", title: "Show or hide the list of images and videos", keys: ["Ctrl+B"] },
  { id: "search", group: "View", title: "Search images and videos", keys: ["/"] },
  { id: "export", group: "View", title: "Export", keys: ["Ctrl+E"] },
  { id: "help", group: "View", title: "Shortcuts", keys: ["?"] },
];

/** What the mouse and the keyboard cursor do. Listed with the shortcuts; cannot be changed. */
export const GESTURES = [
  ["Left click", "Add a point that belongs to the object"],
  ["Right click, Shift + left click, long press", "Add a point that does not belong to it"],
  ["Drag", "Draw a box"],
  ["Alt + drag", "Add a box to the points"],
  ["Click on a point", "Delete it; dragging moves it"],
  ["Wheel", "Zoom at the pointer"],
  ["Middle drag, Space + drag, two fingers", "Pan"],
  ["Alt + right drag", "Brush size"],
  ["Drag on the timeline", "Select a range of frames"],
  ["Ctrl + wheel on the timeline", "Zoom the timeline"],
  ["F, then arrows", "Move the keyboard cursor; Shift moves it by 10"],
  ["F, then Enter or Shift + Enter", "Click: object or background"],
  ["F, then X twice", "Draw a box between two corners"],
  ["F, then G", "Hold the button down, to paint or drag"],
];

/** Keys that browsers keep for themselves. */
const RESERVED = new Set([
  ...["W", "T", "N", "Tab", "Shift+W", "Shift+T", "Shift+N", "Shift+Tab", "Q", "R", "L"].map((key) => `Ctrl+${key}`),
  ...["F5", "F11", "F12", "Alt+F4", "Alt+ArrowLeft", "Alt+ArrowRight", "Ctrl+Shift+I", "Ctrl+PageUp", "Ctrl+PageDown"],
]);
const MODIFIERS = new Set([
  "Control",
  "Shift",
  "Alt",
  "Meta",
  "AltGraph",
  "CapsLock",
  "Dead",
  "Process",
  "Unidentified",
]);
const NAMES = /** @type {Record<string, string>} */ ({
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  Delete: "Del",
  Backspace: "⌫",
  PageUp: "Page ↑",
  PageDown: "Page ↓",
});

/**
 * @typedef {object} KeyLike
 * @property {string} key
 * @property {string} [code]
 * @property {boolean} [ctrlKey]
 * @property {boolean} [metaKey]
 * @property {boolean} [altKey]
 * @property {boolean} [shiftKey]
 * @property {(name: string) => boolean} [getModifierState]
 */

/**
 * The name of a pressed key, such as "Ctrl+Shift+Z". Command is Ctrl. Shift is left out where it only selects the
 * character, as in "?".
 *
 * @param {KeyLike} event
 * @returns {string | null} null for a modifier alone
 */
export function keyName(event) {
  let key = event.key;
  if (!key || MODIFIERS.has(key)) return null;
  if (key === " " || key === "Spacebar") key = "Space";
  const physical = /^Key([A-Z])$/.exec(event.code || "");
  if (physical && key.length === 1 && !/[\x21-\x7e]/.test(key)) key = physical[1]; // other alphabets, Alt on a Mac
  const character = key.length === 1;
  const letter = character && /[a-z]/i.test(key);
  if (letter) key = key.toUpperCase();
  const typed = character && Boolean(event.getModifierState && event.getModifierState("AltGraph"));
  const parts = [];
  if ((event.ctrlKey || event.metaKey) && !typed) parts.push("Ctrl");
  if (event.altKey && !typed) parts.push("Alt");
  if (event.shiftKey && (!character || letter)) parts.push("Shift");
  return [...parts, key].join("+");
}

/**
 * @param {string} name of a key
 * @returns {string} as it is shown, such as "Ctrl + ←"
 */
export function showKey(name) {
  const parts = name === "+" ? ["+"] : name.split(/\+(?=.)/);
  return parts.map((part) => NAMES[part] || part).join(" + ");
}

/**
 * @param {string} name of a key
 * @returns {string | null} why the key cannot be used
 */
export function refusal(name) {
  if (RESERVED.has(name)) return `Browsers keep ${showKey(name)} for themselves.`;
  if (/^[1-9]$/.test(name)) return "Digits select classes.";
  return null;
}

/** Keys of actions: the defaults, with the changes of the user. */
export class Shortcuts {
  /**
   * @param {Record<string, string[]>} [changed] keys by action
   * @param {Action[]} [actions]
   */
  constructor(changed = {}, actions = ACTIONS) {
    this.actions = actions;
    /** @type {Record<string, string[]>} */
    this.changed = {};
    for (const action of actions) {
      const keys = changed[action.id];
      if (!action.fixed && Array.isArray(keys) && keys.every((key) => typeof key === "string" && !refusal(key))) {
        this.changed[action.id] = keys;
      }
    }
  }

  /**
   * @param {string} id
   * @returns {string[]}
   */
  keysOf(id) {
    return this.changed[id] || this.actions.find((action) => action.id === id)?.keys || [];
  }

  /**
   * @param {string} key
   * @returns {Action | undefined}
   */
  actionOf(key) {
    return this.actions.find((action) => this.keysOf(action.id).includes(key));
  }

  /**
   * @param {string} id
   * @param {string[]} keys
   * @returns {Shortcuts} with the keys of one action changed
   */
  with(id, keys) {
    return new Shortcuts({ ...this.changed, [id]: keys }, this.actions);
  }

  /**
   * @param {string} id
   * @returns {Shortcuts} with the default keys of one action
   */
  without(id) {
    const { [id]: _, ...changed } = this.changed;
    return new Shortcuts(changed, this.actions);
  }

  /** @returns {Map<string, Action[]>} the keys that several actions have */
  conflicts() {
    /** @type {Map<string, Action[]>} */
    const users = new Map();
    for (const action of this.actions) {
      for (const key of this.keysOf(action.id)) users.set(key, [...(users.get(key) || []), action]);
    }
    return new Map([...users].filter(([, actions]) => actions.length > 1));
  }

  /**
   * @param {string} id
   * @returns {string} the first key in parentheses, for tooltips; empty if there is none
   */
  hint(id) {
    const [key] = this.keysOf(id);
    return key ? ` (${showKey(key)})` : "";
  }
}

const STORAGE = "masklet.shortcuts";

/** @returns {Shortcuts} */
export function loadShortcuts() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE) || "{}");
    return new Shortcuts(stored && typeof stored === "object" ? stored : {});
  } catch {
    return new Shortcuts();
  }
}

/** @param {Shortcuts} shortcuts */
export function saveShortcuts(shortcuts) {
  localStorage.setItem(STORAGE, JSON.stringify(shortcuts.changed));
}
