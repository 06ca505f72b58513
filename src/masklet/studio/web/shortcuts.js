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

/** The actions of each group: id, title, default keys in a row. @type {Record<string, [string, string, string][]>} */
const GROUPS = {
  Segment: [
    ["finish", "Finish the object; the next click starts a new one", "Enter N"],
    ["cancel", "Cancel or deselect", "Escape"],
    ["candidate", "Next candidate mask after a single click", "Tab"],
    ["remove", "Delete the object or the polygon's vertex", "Delete Backspace"],
    ["clear", "Clear the object on this frame", "Shift+Delete Shift+Backspace"],
    ["undo", "Undo", "Ctrl+Z"],
    ["redo", "Redo", "Ctrl+Shift+Z Ctrl+Y"],
    ["save", "Confirm that everything is saved", "Ctrl+S"],
  ],
  Tools: [
    ["tool.select", "Select objects", "V"],
    ["tool.prompt", "Points and boxes", "P"],
    ["tool.brush", "Brush", "B"],
    ["tool.eraser", "Eraser", "E"],
    ["tool.polygon", "Polygon", "G"],
    ["tool.proposals", "Proposals to click on", "M"],
    ["brush.smaller", "Smaller brush", "["],
    ["brush.larger", "Larger brush", "]"],
    ["cursor", "Place points with the arrow keys", "F"],
  ],
  Objects: [
    ["object.previous", "Previous object", "PageUp W"],
    ["object.next", "Next object", "PageDown S"],
    [
      "object.class",
      "Class of the object that is selected or was just finished, and of the next ones",
      "1 2 3 4 5 6 7 8 9",
    ],
    ["object.rename", "Rename the object", "F2"],
    ["object.hide", "Hide or show the object", "H"],
    ["object.hideAll", "Hide or show all objects", "Shift+H"],
    ["object.solo", "Show only this object", "Shift+S"],
    ["object.lock", "Lock or unlock the object", "L"],
    ["object.absent", "Mark the object as absent on this frame", "X"],
    ["object.copy", "Copy the objects to the next image or frame", "C"],
  ],
  "Frames and images": [
    ["step.back", "Previous frame or image", "ArrowLeft A"],
    ["step.next", "Next frame or image", "ArrowRight D"],
    ["step.back10", "10 back", "Shift+ArrowLeft"],
    ["step.next10", "10 forward", "Shift+ArrowRight"],
    ["step.first", "First frame or image", "Home"],
    ["step.last", "Last frame or image", "End"],
    ["annotated.previous", "Previous annotated frame", ","],
    ["annotated.next", "Next annotated frame", "."],
    ["media.previous", "Previous image or video", "Ctrl+ArrowLeft"],
    ["media.next", "Next image or video", "Ctrl+ArrowRight"],
    ["unchecked.next", "Next unchecked image or video", "U"],
    ["unchecked.previous", "Previous unchecked image or video", "Shift+U"],
    ["check", "Mark as checked or unchecked", "Shift+Enter"],
    ["checkNext", "Mark as checked and go to the next unchecked", "Ctrl+Enter"],
  ],
  Video: [
    ["play", "Play or pause", "Space"],
    ["track", "Track forward, or recompute after a correction", "T"],
    ["track.both", "Track in both directions", "Shift+T"],
    ["track.backward", "Track backward", "Alt+T"],
    ["track.range", "Track the selected range", "R"],
    ["track.stop", "Stop tracking", "Q"],
    ["range.start", "Start the range at this frame", "I"],
    ["range.stop", "End the range at this frame", "O"],
    ["review.next", "Next frame to review", "J"],
    ["review.previous", "Previous frame to review", "K"],
    ["accept", "Accept the masks of all objects on this frame", "Y"],
    ["clearRange", "Clear the masks of the range that are not accepted", "Ctrl+Delete"],
    ["absentRange", "Mark the object as absent in the range", "Shift+X"],
    ["acceptRange", "Accept the masks of all objects in the range", "Shift+Y"],
  ],
  View: [
    ["zoom.in", "Zoom in", "+ ="],
    ["zoom.out", "Zoom out", "-"],
    ["zoom.fit", "Fit to the canvas", "0"],
    ["zoom.full", "100 %", "Ctrl+0"],
    ["panel.media", "Show or hide the list of images and videos", "Ctrl+B"],
    ["search", "Search images and videos", "/"],
    ["export", "Export", "Ctrl+E"],
    ["help", "Shortcuts", "?"],
  ],
};

/** Actions that a key repeats while it is held down. */
const REPEATED =
  /^(undo|redo|brush\..*|object\.(previous|next)|step\.(back|next).*|annotated\..*|media\..*|zoom\.(in|out))$/;

/** @type {Action[]} */
const ACTIONS = Object.entries(GROUPS).flatMap(([group, actions]) =>
  actions.map(([id, title, keys]) => ({
    id,
    group,
    title,
    keys: keys.split(" "),
    fixed: id === "object.class",
    repeat: REPEATED.test(id),
  })),
);

/** What the mouse and the keyboard cursor do, which cannot be changed. */
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
const MODIFIERS = new Set("Control Shift Alt Meta AltGraph CapsLock Dead Process Unidentified".split(" "));
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

/** @typedef {"code" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey" | "getModifierState"} KeyDetail */
/** @typedef {Pick<KeyboardEvent, "key"> & Partial<Pick<KeyboardEvent, KeyDetail>>} KeyLike */

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

/** @param {string} name of a key @returns {string} as it is shown, such as "Ctrl + ←" */
export function showKey(name) {
  const parts = name === "+" ? ["+"] : name.split(/\+(?=.)/);
  return parts.map((part) => NAMES[part] || part).join(" + ");
}

/** @param {string} name of a key @returns {string | null} why the key cannot be used */
export function refusal(name) {
  if (RESERVED.has(name)) return `Browsers keep ${showKey(name)} for themselves.`;
  if (/^[1-9]$/.test(name)) return "Digits select classes.";
  return null;
}

export class Shortcuts {
  /** @param {Record<string, string[]>} [changed] keys by action */
  constructor(changed = {}) {
    this.actions = ACTIONS;
    /** @type {Record<string, string[]>} */
    this.changed = {};
    for (const action of ACTIONS) {
      const keys = changed[action.id];
      if (!action.fixed && Array.isArray(keys) && keys.every((key) => typeof key === "string" && !refusal(key))) {
        this.changed[action.id] = keys;
      }
    }
  }

  /** @param {string} id @returns {string[]} */
  keysOf(id) {
    return this.changed[id] || this.actions.find((action) => action.id === id)?.keys || [];
  }

  /** @param {string} key @returns {Action | undefined} */
  actionOf(key) {
    return this.actions.find((action) => this.keysOf(action.id).includes(key));
  }

  /** @param {string} id @param {string[]} keys @returns {Shortcuts} with the keys of one action changed */
  with(id, keys) {
    return new Shortcuts({ ...this.changed, [id]: keys });
  }

  /** @param {string} id @returns {Shortcuts} with the default keys of one action */
  without(id) {
    const { [id]: _, ...changed } = this.changed;
    return new Shortcuts(changed);
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

  /** @param {string} id @returns {string} the first key in parentheses, for tooltips; empty if there is none */
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
