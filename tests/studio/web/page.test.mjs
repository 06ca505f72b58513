// Tests of the page's logic that need no browser. test_page_logic.py runs them.

import assert from "node:assert/strict";
import test from "node:test";

import { ClassChanges } from "../../../src/masklet/studio/web/class_changes.js";
import { parseBinary, formatBinary, Connection } from "../../../src/masklet/studio/web/connection.js";
import { aggregate, describeCell, isLow, readCell } from "../../../src/masklet/studio/web/lane_colors.js";
import { ObjectChanges } from "../../../src/masklet/studio/web/object_changes.js";
import { sentence } from "../../../src/masklet/studio/web/messages.js";
import { PromptEditor } from "../../../src/masklet/studio/web/prompt_editor.js";
import { Review } from "../../../src/masklet/studio/web/review.js";
import { Server } from "../../../src/masklet/studio/web/server.js";
import { Shortcuts, keyName, refusal, showKey } from "../../../src/masklet/studio/web/shortcuts.js";
import { Store } from "../../../src/masklet/studio/web/store.js";
import { Tracking, formatDuration, formatTime } from "../../../src/masklet/studio/web/tracking.js";

const IMAGE = { path: "a.jpg", kind: "image", size: [10, 20], frames: 1, times: null, checked: false };
const OBJECT = { name: "", class: null, color: "#ff0000", hidden: false, locked: false, attributes: {} };
const TRACKED = 1, PROMPTED = 2, ABSENT = 4, ACCEPTED = 8;
const scored = (byte, score) => byte | (Math.round(score * 15) << 4);

/** A store with three images and a video of 100 frames, which is shown. */
function makeStore() {
  const store = new Store();
  const entries = { project: { name: "p" } };
  for (let id = 1; id <= 3; id++) entries[`media/${id}`] = { ...IMAGE, path: `dir/image${id}.jpg`, checked: id === 2 };
  entries["media/4"] = { ...IMAGE, path: "clip.mp4", kind: "video", frames: 100 };
  store.load({ entries, seq: 0, undo: null, redo: null, formats: [], effects: [] });
  store.goTo(4, 10);
  return store;
}

/** A server that replies what `request` returns. */
const makeServer = (request, messages) => Object.assign(new Server("ws://x", messages), { request });

/** A prompt editor whose requests are replied to by hand. */
function makeEditor(store = makeStore()) {
  const requests = [];
  const problems = [];
  const request = (command, fields) => new Promise((resolve, reject) => requests.push({ command, fields, resolve, reject }));
  const server = makeServer(request, { problem: (problem) => problems.push(problem) });
  return { store, requests, problems, editor: new PromptEditor(store, server) };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("changes that arrive before the state of the project are not lost", () => {
  const store = makeStore();
  const change = (/** @type {number} */ seq, /** @type {string} */ name) => ({
    seq,
    undo: "change_class",
    entries: { "class/1": { name, color: "#112233", attributes: [], digit: null } },
  });
  store.expect();
  store.apply(change(8, "older"));
  store.apply(change(9, "newer"));
  store.load({ project: "p", model: "m", seq: 8, undo: null, redo: null, entries: {} });
  assert.equal(store.seq, 9);
  assert.equal(store.undo, "change_class");
  assert.equal(store.classes.get(1)?.name, "newer");
  store.load({ project: "p", model: "m", seq: 20, undo: null, redo: null, entries: {} });
  assert.equal(store.classes.size, 0);
});

test("clicks before the new object has an id are sent for it in one prompt", async () => {
  const { store, editor, requests } = makeEditor();
  for (let x = 0; x < 20; x++) editor.addPoint(x, 5, true);
  assert.equal(requests.length, 1);
  assert.equal(requests[0].fields.object, null);
  requests[0].resolve({ object: 7, seq: 1 });
  await settle();
  assert.equal(store.object, 7);
  assert.equal(requests.length, 2);
  assert.equal(requests[1].fields.object, 7);
  assert.equal(requests[1].fields.points.length, 20);
});

test("a prompt is shown until the server's state includes the reply to its last change", async () => {
  const { store, editor, requests } = makeEditor();
  store.apply({ seq: 1, entries: { "object/4/3": OBJECT }, cells: [] });
  store.select(3);
  editor.addPoint(1, 1, true);
  editor.addPoint(2, 2, true);
  requests[0].resolve({ object: 3, seq: 2 });
  store.apply({ seq: 2, entries: { "prompt/4/3/10": { points: [[1, 1, 1]], box: null, candidate: null } }, cells: [] });
  await settle();
  assert.equal(editor.prompt.points.length, 2); // not the older one
  requests[1].resolve({ object: 3, seq: 3 });
  await settle();
  assert.equal(editor.prompt.points.length, 2);
  store.apply({ seq: 3, entries: { "prompt/4/3/10": { points: [[9, 9, 1]], box: null, candidate: null } }, cells: [] });
  assert.deepEqual(editor.prompt.points, [[9, 9, 1]]);
});

test("a refused prompt disappears", async () => {
  const { store, editor, requests, problems } = makeEditor();
  store.apply({ seq: 1, entries: { "object/4/3": OBJECT }, cells: [] });
  store.select(3);
  editor.addPoint(1, 1, false);
  requests[0].reject(new Error("no positive point"));
  await settle();
  assert.deepEqual(editor.prompt, { points: [], box: null });
  assert.equal(problems.length, 1);
});

test("an object that is finished before it exists is not selected", async () => {
  const { store, editor, requests } = makeEditor();
  editor.addPoint(1, 1, true);
  editor.finish();
  editor.addPoint(8, 8, true);
  assert.equal(requests.length, 2);
  assert.deepEqual(requests[1].fields.points, [[8, 8, 1]]);
  requests[0].resolve({ object: 1, seq: 1 });
  await settle();
  assert.equal(store.object, null);
  requests[1].resolve({ object: 2, seq: 2 });
  await settle();
  assert.equal(store.object, 2);
});

test("a selected object that another window removes is deselected", () => {
  const store = makeStore();
  store.apply({ seq: 1, entries: { "object/4/3": OBJECT }, cells: [[4, 3, 5, PROMPTED]] });
  store.select(3);
  store.setLanes({ medium: 4, frames: 100, objects: [3] }, new Uint8Array(100).buffer);
  store.apply({ seq: 2, entries: { "object/4/3": null }, cells: [] });
  assert.equal(store.object, null);
  assert.equal(store.cellOf(3), 0);
});

test("older masks of the frame never replace newer ones", () => {
  const store = makeStore();
  const masks = (seq) => ({ medium: 4, frame: 10, seq, size: [1, 1], masks: [] });
  store.setMasks(masks(5));
  store.setMasks(masks(4));
  assert.equal(store.masks.seq, 5);
});

test("unchecked media are found around the end of the list", () => {
  const store = makeStore();
  store.goTo(1, 0);
  assert.equal(store.neighbor(1, { unchecked: true }), 3);
  store.goTo(4, 0);
  assert.equal(store.neighbor(1, { unchecked: true }), 1);
  assert.equal(store.neighbor(-1, { unchecked: true }), 3);
  assert.equal(store.neighbor(1), null);
  assert.deepEqual(store.mediaList({ unchecked: true }), [1, 3, 4]);
});

test("media are found by the classes and attributes of their objects", () => {
  const store = makeStore();
  store.apply({
    seq: 1,
    entries: {
      "class/1": { name: "Boat", color: "#00ff00", attributes: [], digit: 4 },
      "object/3/1": { ...OBJECT, class: 1, attributes: { port: "Kiel" } },
    },
    cells: [],
  });
  assert.deepEqual(store.mediaList({ search: "boat" }), [3]);
  assert.deepEqual(store.mediaList({ search: "kiel" }), [3]);
  assert.deepEqual(store.mediaList({ search: "IMAGE2" }), [2]);
  assert.equal(store.classOfDigit(4), 1);
});

test("annotated frames exclude tracked and hidden ones", () => {
  const store = makeStore();
  const bytes = new Uint8Array(100);
  bytes[20] = TRACKED;
  bytes[30] = 7;
  bytes[40] = PROMPTED;
  bytes[5] = ABSENT;
  store.setLanes({ medium: 4, frames: 100, objects: [1] }, bytes.buffer);
  assert.equal(store.annotatedFrame(false), 40);
  assert.equal(store.annotatedFrame(true), 5);
});

test("changes of a turn reach a listener once", async () => {
  const store = makeStore();
  await settle();
  let calls = 0;
  store.subscribe(["objects", "selection"], () => calls++);
  store.apply({ seq: 1, entries: { "object/4/1": OBJECT, "object/4/2": OBJECT }, cells: [] });
  store.select(2);
  await settle();
  assert.equal(calls, 1);
});

test("a column of the timeline shows prompts first, then low scores, and is accepted only as a whole", () => {
  const bytes = new Uint8Array(40).fill(scored(TRACKED, 1) | ACCEPTED);
  bytes[3] = scored(TRACKED, 0.2);
  bytes[13] = PROMPTED | ACCEPTED;
  bytes[25] = scored(TRACKED, 0.8) | ACCEPTED;
  const columns = aggregate(bytes, 0, 40, 4);
  assert.equal(isLow(columns[0]), true);
  assert.deepEqual(readCell(columns[1]), { state: "prompted", accepted: true, score: 0 });
  assert.equal(readCell(columns[2]).score, 0.8);
  assert.equal(readCell(columns[3]).accepted, true);
});

test("columns follow the visible frames", () => {
  const bytes = new Uint8Array(1000);
  bytes[500] = PROMPTED;
  assert.equal(aggregate(bytes, 500, 100, 50)[0], PROMPTED);
  assert.equal(aggregate(bytes, 490, 20, 20)[10], PROMPTED);
  assert.deepEqual([...aggregate(bytes, 990, 100, 10)], Array(10).fill(0));
});

test("cells are described in words", () => {
  assert.equal(describeCell(scored(TRACKED, 0.4)), "tracked, score 0.40, low");
  assert.equal(describeCell(scored(TRACKED, 0.4) | ACCEPTED), "tracked, score 0.40, accepted");
  assert.equal(describeCell(ABSENT), "marked as absent");
});

test("default shortcuts have no conflicts and no keys that browsers keep", () => {
  const shortcuts = new Shortcuts();
  assert.deepEqual([...shortcuts.conflicts().keys()], []);
  for (const action of shortcuts.actions) if (!action.fixed) for (const key of action.keys) assert.equal(refusal(key), null, key);
  for (const key of ["Ctrl+W", "Ctrl+T", "Ctrl+N", "Ctrl+Tab"]) assert.notEqual(refusal(key), null);
});

test("a changed key conflicts with the action that has it, until that is changed too", () => {
  const changed = new Shortcuts().with("tool.brush", ["E"]);
  assert.deepEqual(changed.conflicts().get("E").map((action) => action.id), ["tool.brush", "tool.eraser"]);
  const both = changed.with("tool.eraser", ["B"]);
  assert.equal(both.conflicts().size, 0);
  assert.equal(both.actionOf("B").id, "tool.eraser");
  assert.equal(both.without("tool.eraser").conflicts().size, 1);
});

test("stored shortcuts that are damaged or reserved are ignored", () => {
  const shortcuts = new Shortcuts({ "tool.brush": "E", "tool.eraser": ["Ctrl+W"], unknown: ["Z"], undo: ["Ctrl+U"] });
  assert.deepEqual(shortcuts.changed, { undo: ["Ctrl+U"] });
});

test("keys are named by what they type", () => {
  const key = (fields) => keyName({ ctrlKey: false, altKey: false, shiftKey: false, metaKey: false, ...fields });
  assert.equal(key({ key: "z", ctrlKey: true, shiftKey: true }), "Ctrl+Shift+Z");
  assert.equal(key({ key: "z", metaKey: true }), "Ctrl+Z");
  assert.equal(key({ key: "?", shiftKey: true }), "?");
  assert.equal(key({ key: "я", code: "KeyZ" }), "Z");
  assert.equal(key({ key: " " }), "Space");
  assert.equal(key({ key: "Shift", shiftKey: true }), null);
  const typed = { key: "[", ctrlKey: true, altKey: true, getModifierState: (name) => name === "AltGraph" };
  assert.equal(key(typed), "[");
  assert.equal(showKey("Ctrl++"), "Ctrl + +");
  assert.equal(showKey("Shift+ArrowLeft"), "Shift + ←");
});

test("binary messages are aligned", () => {
  const message = formatBinary({ command: "paint", x: "é" }, new Uint8Array([1, 2, 3, 4]));
  assert.equal(message.length % 4, 0);
  const { header, payload } = parseBinary(message.buffer);
  assert.deepEqual(header, { command: "paint", x: "é" });
  assert.deepEqual([...new Uint8Array(payload)], [1, 2, 3, 4]);
});

test("commands without a reply are reported when the connection is lost, and it is opened again", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const sockets = [];
  const states = [];
  const create = () => sockets[sockets.push({ readyState: 1, send() {}, close() {} }) - 1];
  const handlers = { onEvent() {}, onBinary() {}, onState: (state, lost) => states.push([state, lost]) };
  const connection = new Connection("ws://x", handlers, { create });
  connection.open();
  sockets[0].onopen();
  const request = connection.request("predict");
  sockets[0].onclose({ code: 1006 });
  await assert.rejects(request, { code: "connection-lost" });
  await assert.rejects(connection.request("undo"), { code: "not-connected" });
  assert.deepEqual(states, [["open", []], ["lost", ["predict"]]]);
  context.mock.timers.tick(400);
  assert.equal(sockets.length, 2);
  sockets[1].onopen();
  assert.equal(connection.state, "open");
});

test("times are shown with hours only if there are any", () => {
  assert.equal(formatTime(3.456), "0:03.46");
  assert.equal(formatTime(3725.5), "1:02:05.50");
  assert.equal(formatTime(59.999), "1:00.00");
  assert.equal(formatDuration(7500), "2 h 5 min");
});

/** Parts of the application without a page. Requests are replied to at once, after a call of `onRequest`. */
function makeApp(store = makeStore(), onRequest = (command) => {}) {
  const requests = [], notes = [], problems = [];
  const request = async (command, fields) => {
    onRequest(command);
    requests.push({ command, ...fields });
    return command === "predict" ? { object: 7, seq: 1 } : { seq: 1 };
  };
  const messages = {
    note: (text) => notes.push(text),
    notice: () => {},
    problem: (text) => problems.push(String(text)),
  };
  const server = makeServer(request, messages);
  const editor = new PromptEditor(store, server);
  const tracking = { onlySelected: false };
  const classes = new ClassChanges(store, server, editor, new ObjectChanges(store, server, messages, () => ""), messages);
  const review = new Review(store, server, editor, tracking, {}, messages);
  return { store, server, editor, tracking, classes, review, requests, notes, problems };
}

test("a digit after Enter gives the finished object its class, unless it has one", async () => {
  const { editor, classes, store, requests, notes } = makeApp();
  store.apply({ seq: 1, entries: { "class/2": { name: "dog", color: "#00ff00", attributes: [], digit: 5 } } });
  editor.addPoint(1, 1, true);
  editor.finish(); // before the server has replied
  const used = classes.use(2);
  await settle();
  store.apply({ seq: 2, entries: { "object/4/7": OBJECT } }); // after the reply
  await used;
  assert.deepEqual(requests.at(-1), { command: "change_object", medium: 4, object: 7, fields: { class: 2 } });
  assert.equal(notes.at(-1), "Class of Object 7 and the next objects: dog.");
  store.apply({ seq: 3, entries: { "object/4/7": { ...OBJECT, class: 2 } } });
  const count = requests.length;
  await classes.use(null);
  assert.equal(requests.length, count);
  assert.equal(notes.at(-1), "Class of the next objects: none.");
});

test("all objects that are visible and not locked are accepted, or the selected one", async () => {
  const { review, tracking, store, requests, notes } = makeApp();
  const entries = { "object/4/1": OBJECT, "object/4/2": { ...OBJECT, locked: true } };
  store.apply({ seq: 1, entries: { ...entries, "object/4/3": { ...OBJECT, hidden: true }, "object/4/5": OBJECT } });
  store.setLanes({ medium: 4, frames: 100, objects: [1, 2, 3, 5] }, new Uint8Array(400).fill(TRACKED).buffer);
  store.select(1);
  await review.accept({ start: 0, stop: 3 });
  assert.deepEqual(requests.at(-1).objects, [1, 5]);
  assert.equal(notes.at(-1), "6 masks accepted.");
  tracking.onlySelected = true;
  await review.accept({ start: 0, stop: 3 });
  assert.deepEqual(requests.at(-1).objects, [1]);
});

test("masks are accepted once those of all prompts are there", async () => {
  const store = makeStore();
  const { editor, review, requests } = makeApp(store, (command) => {
    if (command === "settle") {
      store.apply({ seq: 2, entries: { "object/4/7": OBJECT }, cells: [[4, 7, 0, PROMPTED]] });
    }
  });
  store.setLanes({ medium: 4, frames: 100, objects: [] }, new ArrayBuffer(0));
  editor.addPoint(1, 1, true);
  await review.accept({ start: 0, stop: 1 });
  assert.deepEqual(
    requests.map(({ command, objects }) => [command, objects]),
    [["predict", undefined], ["settle", undefined], ["accept", [7]]],
  );
});

test("a run that is stopped before the server has confirmed it is not lost", async () => {
  const store = makeStore(), requests = [];
  const replies = { track: { run: 5, frames: 9 } };
  const request = async (command, fields) => (requests.push([command, fields.run]), replies[command] || {});
  let go;
  const masks = new Promise((resolve) => (go = resolve));
  const messages = { notice: () => {}, problem: assert.fail };
  const tracking = new Tracking(store, makeServer(request, messages), () => masks, messages);
  const fields = { medium: 4, objects: null, start: 0, stop: 9, direction: "forward" };
  const first = tracking.start(fields);
  await tracking.stop(); // while it waits for masks
  go(true);
  await first;
  assert.deepEqual(requests, []);
  const second = tracking.start(fields);
  await Promise.resolve();
  await tracking.stop(); // while it waits for the reply
  await second;
  assert.deepEqual(requests, [["track", undefined], ["stop_tracking", 5]]);
});

test("a model that cannot be loaded is reported once", () => {
  const { server, problems } = makeApp();
  const problem = { code: "bad-model", detail: "no weights at x" };
  server.receiveEvent({ event: "problem", command: "load", problem });
  server.receiveEvent({ event: "problem", command: "show", problem });
  assert.equal(server.modelProblem, "no weights at x");
  assert.deepEqual(problems, ["The model could not be loaded: no weights at x."]);
  server.receiveEvent({ event: "problem", command: "predict", problem: { detail: "out of memory" } });
  assert.equal(problems.length, 2);
});

test("a mask that may be wrong is noted", () => {
  const { server, notes, problems } = makeApp();
  server.receiveEvent({ event: "warning", code: "tiny-mask", message: "object 1: the prompt finds almost nothing" });
  assert.deepEqual([notes, problems], [["Object 1: the prompt finds almost nothing."], []]);
});

test("sentences begin with a capital letter, names of files as they are", () => {
  assert.equal(sentence("no positive point"), "No positive point.");
  assert.equal(sentence("bad.json: not JSON"), "bad.json: not JSON.");
});
