// Tests of the drawing area's logic that need no browser. test_drawing_logic.py runs them.

import assert from "node:assert/strict";
import test from "node:test";

import { stepSize } from "../../../src/masklet/studio/web/brush.js";
import { FrameLoader } from "../../../src/masklet/studio/web/frames.js";
import { ACTIVE_BIT, LabelMap, MIXED, PREVIEW_BIT, TILE, capsuleSpan, resizeRuns } from "../../../src/masklet/studio/web/label_map.js";
import { PolygonEditor, distanceToSegment } from "../../../src/masklet/studio/web/polygon_editor.js";
import { PromptOverlay, moveEdges, spanBox } from "../../../src/masklet/studio/web/prompt_overlay.js";
import { countPixels, decodeRuns, encodeRuns, equalRuns } from "../../../src/masklet/studio/web/rle.js";
import { planPart } from "../../../src/masklet/studio/web/sharpener.js";
import { HoverThrottle } from "../../../src/masklet/studio/web/tools/hover_throttle.js";
import { Transform } from "../../../src/masklet/studio/web/transform.js";

/** Random numbers below `limit`, the same every time. */
function makeRandom(seed = 1) {
  return (limit) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * limit);
  };
}

/** A mask of random rectangles. */
function randomMask(random, height, width) {
  const mask = new Uint8Array(height * width);
  for (let count = 0; count < 3; count++) {
    const [x, y, w, h] = [random(width), random(height), random(width), random(height)];
    for (let row = y; row < Math.min(height, y + h); row++) mask.fill(1, row * width + x, row * width + Math.min(width, x + w));
  }
  return mask;
}

const rectangle = (height, width, [x0, y0, x1, y1]) => {
  const mask = new Uint8Array(height * width);
  for (let y = y0; y < y1; y++) mask.fill(1, y * width + x0, y * width + x1);
  return encodeRuns(mask, height, width);
};

test("runs decode to the mask that was encoded", () => {
  const random = makeRandom();
  for (let turn = 0; turn < 50; turn++) {
    const [height, width] = [1 + random(20), 1 + random(20)];
    const mask = randomMask(random, height, width);
    const runs = encodeRuns(mask, height, width);
    assert.deepEqual(decodeRuns(runs, height, width), mask);
    assert.equal(runs.reduce((sum, run) => sum + run, 0), height * width);
    assert.equal(countPixels(runs), mask.reduce((sum, one) => sum + one, 0));
    assert.ok(equalRuns(runs, encodeRuns(mask, height, width)));
  }
});

test("runs begin with the background and are as long as the mask", () => {
  assert.deepEqual([...encodeRuns([1, 1, 0, 1], 2, 2)], [0, 2, 1, 1]);
  assert.deepEqual([...encodeRuns([0, 0, 0, 0], 2, 2)], [4]);
  assert.deepEqual([...encodeRuns([4, 1, 4, 0], 2, 2, 4)], [0, 1, 1, 1, 1]);
  assert.deepEqual([...decodeRuns(new Uint32Array([1, 9]), 2, 2)], [0, 1, 1, 1]); // longer than the mask
  const stripes = Uint8Array.from({ length: 1000 }, (_, index) => index % 2);
  assert.deepEqual([...encodeRuns(stripes, 10, 100)], Array(1000).fill(1));
});

/** The values of a label map that is written from the start. */
function compose(map, entries, active, preview) {
  const values = new Uint16Array(map.data.length);
  for (const { object, runs } of entries) {
    decodeRuns(runs, map.height, map.width).forEach((one, index) => one && (values[index] = map.slots.get(object)));
  }
  for (const [runs, bit] of [[active, ACTIVE_BIT], [preview, PREVIEW_BIT]]) {
    decodeRuns(runs, map.height, map.width).forEach((one, index) => one && (values[index] |= bit));
  }
  return values;
}

test("a label map that is changed step by step is that of the last masks", () => {
  const random = makeRandom(7);
  const [height, width] = [37, 29];
  const map = new LabelMap();
  map.resize([height, width]);
  const masks = Array.from({ length: 6 }, (_, index) => ({ object: index + 1, runs: new Uint32Array(0) }));
  const uploaded = { labels: new Uint16Array(height * width), tiles: new Uint16Array(map.tiles.length) };
  for (let turn = 0; turn < 200; turn++) {
    const one = masks[random(6)];
    one.runs = encodeRuns(randomMask(random, height, width), height, width);
    if (random(3) === 0) masks.sort(() => random(3) - 1);
    const visible = masks.filter(() => random(4) > 0);
    const active = encodeRuns(randomMask(random, height, width), height, width);
    const preview = random(2) ? encodeRuns(randomMask(random, height, width), height, width) : new Uint32Array(0);
    map.setMasks(visible);
    map.setActive(active);
    map.setPreview(preview);
    assert.deepEqual(map.data, compose(map, visible, active, preview));
    const dirty = map.takeDirty();
    if (!dirty) continue;
    copy(map.data, uploaded.labels, width, dirty.labels);
    copy(map.tiles, uploaded.tiles, map.tileColumns, dirty.tiles);
    assert.deepEqual(uploaded.labels, map.data);
    assert.deepEqual(uploaded.tiles, expectedTiles(map));
  }
});

function copy(from, to, width, rectangle) {
  for (let y = rectangle.y; y < rectangle.y + rectangle.height; y++) {
    const start = y * width + rectangle.x;
    to.set(from.subarray(start, start + rectangle.width), start);
  }
}

/** The label of each tile that has one label up to the middle of the image around it. */
function expectedTiles({ data, height, width, tileRows, tileColumns }) {
  const at = (y, x) => (y >= 0 && x >= 0 && y < height && x < width ? data[y * width + x] : 0);
  const isOutside = (tile, tiles) => tile < 0 || tile >= tiles;
  return Uint16Array.from({ length: tileRows * tileColumns }, (_, index) => {
    const [row, column] = [Math.floor(index / tileColumns), index % tileColumns];
    const found = new Set();
    for (let y = row - 1; y <= row + 1; y++) {
      for (let x = column - 1; x <= column + 1; x++) {
        if (isOutside(y, tileRows) || isOutside(x, tileColumns)) found.add(0);
        for (let inner = 0; inner < TILE * TILE; inner++) {
          const [py, px] = [y * TILE + Math.floor(inner / TILE), x * TILE + (inner % TILE)];
          if (py < height && px < width && py >= 0 && px >= 0) found.add(at(py, px));
        }
      }
    }
    return found.size === 1 ? [...found][0] : MIXED;
  });
}

test("only the rows of changed masks are written", () => {
  const map = new LabelMap();
  map.resize([100, 50]);
  const entries = [
    { object: 5, runs: rectangle(100, 50, [0, 10, 50, 20]) },
    { object: 6, runs: rectangle(100, 50, [0, 40, 50, 60]) },
  ];
  map.setMasks(entries);
  map.takeDirty();
  map.setMasks(entries);
  assert.equal(map.takeDirty(), null);
  entries[1] = { object: 6, runs: rectangle(100, 50, [0, 45, 50, 62]) };
  map.setMasks(entries);
  assert.deepEqual(map.takeDirty().labels, { x: 0, y: 40, width: 50, height: 22 });
  assert.equal(map.objectAt(3, 61.5), 6);
  assert.equal(map.objectAt(3, 41), null);
  assert.equal(map.objectAt(-1, 50), null);
});

test("a stroke has the pixels whose center is within the radius of its line", () => {
  const random = makeRandom(3);
  const map = new LabelMap();
  for (let turn = 0; turn < 30; turn++) {
    map.resize([40 + turn, 50]);
    const at = () => [random(60) - 5 + 0.3, random(50) - 5 + 0.7];
    const [from, to, radius] = [at(), turn % 3 ? at() : at().map(() => 20), 0.5 + random(12)];
    map.paint(from, to, radius, true);
    for (let y = 0; y < map.height; y++) {
      for (let x = 0; x < map.width; x++) {
        const distance = distanceToSegment([x + 0.5, y + 0.5], from, to);
        if (Math.abs(distance - radius) < 1e-6) continue;
        assert.equal(map.isActiveAt(x, y), distance < radius, `${[turn, x, y]}`);
      }
    }
  }
});

test("strokes are finished or canceled", () => {
  const map = new LabelMap();
  map.resize([20, 20]);
  map.setActive(rectangle(20, 20, [0, 0, 5, 5]));
  map.paint([10, 10], [10, 10], 3, true);
  map.cancelStroke();
  assert.equal(countPixels(map.active), 25);
  assert.ok(!map.isActiveAt(10, 10));
  map.paint([10, 10], [10, 10], 3, true);
  map.paint([0, 0], [0, 0], 3, false);
  const runs = map.finishStroke();
  assert.equal(map.active, runs);
  assert.deepEqual(decodeRuns(runs, 20, 20)[10 * 20 + 10], 1);
  assert.deepEqual(decodeRuns(runs, 20, 20)[0], 0);
});

test("a row of a capsule", () => {
  assert.deepEqual(capsuleSpan(0, [0, 0], [10, 0], 2), [-2, 12]);
  assert.equal(capsuleSpan(3, [0, 0], [10, 0], 2), null);
  const [low, high] = capsuleSpan(5, [0, 0], [10, 10], Math.SQRT2);
  assert.ok(Math.abs(low - 3) < 1e-9 && Math.abs(high - 7) < 1e-9);
});

test("a mask of another size is resized to the nearest pixels", () => {
  const small = rectangle(2, 3, [1, 0, 3, 1]);
  assert.ok(equalRuns(resizeRuns(small, [2, 3], [4, 6]), rectangle(4, 6, [2, 0, 6, 2])));
  assert.ok(equalRuns(resizeRuns(rectangle(4, 6, [2, 0, 6, 2]), [4, 6], [2, 3]), small));
});

test("zooming keeps the pixel at the pointer, and a part of the image stays in the view", () => {
  const transform = new Transform();
  transform.resize([600, 800]);
  transform.setImage([300, 400], false);
  assert.deepEqual([transform.x, transform.y, transform.scale], [0, 0, 2]);
  const before = transform.toImage(200, 100);
  transform.zoomAt(200, 100, 3);
  transform.toImage(200, 100).forEach((value, index) => assert.ok(Math.abs(value - before[index]) < 1e-9));
  for (let turn = 0; turn < 100; turn++) transform.zoomAt(0, 0, 2);
  assert.equal(transform.scale, 64);
  transform.panBy(1e6, -1e6);
  const [x0, y0, x1, y1] = transform.visible();
  assert.ok(x1 > x0 && y1 > y0);
});

test("a view that shows the whole image does so after its size changes; another one keeps its center", () => {
  const transform = new Transform();
  transform.resize([600, 800]);
  transform.setImage([300, 400], false);
  transform.resize([300, 800]);
  assert.equal(transform.scale, 1);
  transform.zoomAt(400, 150, 4);
  const center = transform.toImage(400, 150);
  transform.resize([500, 500]);
  assert.deepEqual(transform.toImage(250, 250), center);
  assert.equal(transform.scale, 4);
  transform.setImage([600, 800], true); // the same image with more pixels
  assert.equal(transform.scale, 2);
});

const identity = (x, y) => [x, y];

test("points are hit before handles, handles before the border", () => {
  const overlay = new PromptOverlay();
  overlay.setPrompt({ points: [[100, 100, 1], [103, 100, 0]], box: [100, 50, 200, 150] });
  assert.deepEqual(overlay.hit(101, 100, false, identity), { kind: "point", index: 0 });
  assert.deepEqual(overlay.hit(200, 152, false, identity), { kind: "handle", edges: [0, 0, 1, 1] });
  assert.equal(overlay.hit(130, 151, false, identity).kind, "border");
  assert.equal(overlay.hit(130, 120, false, identity), null);
  assert.equal(overlay.hit(215, 150, false, identity), null);
  assert.equal(overlay.hit(215, 150, true, identity).kind, "handle"); // fingers reach farther
});

test("edges of a box move within the image and may pass each other", () => {
  assert.deepEqual(moveEdges([10, 10, 20, 20], [0, 0, 1, 1], -15, 5, [100, 100]), [5, 10, 10, 25]);
  assert.deepEqual(moveEdges([10, 10, 20, 20], [1, 1, 1, 1], -15, 95, [100, 100]), [0, 90, 10, 100]);
  assert.deepEqual(spanBox(50, 120, -10, 20, [100, 40]), [0, 20, 40, 100]);
});

test("vertices are inserted, moved and removed", () => {
  const editor = new PolygonEditor();
  editor.setPolygons([[[0, 0], [100, 0], [100, 100], [0, 100]]]);
  assert.deepEqual(editor.hit(99, 2, false, identity), { kind: "vertex", polygon: 0, vertex: 1 });
  const edge = editor.hit(50, 102, false, identity);
  assert.deepEqual(edge, { kind: "edge", polygon: 0, vertex: 3 });
  const vertex = editor.insertVertex(edge, [50, 100]);
  editor.moveVertex(vertex, [50, 120]);
  assert.deepEqual(editor.polygons[0][3], [50, 120]);
  assert.deepEqual(editor.hit(1, 50, false, identity), { kind: "edge", polygon: 0, vertex: 0 }); // the closing edge
  editor.removeVertex({ kind: "vertex", polygon: 0, vertex: 0 });
  editor.removeVertex({ kind: "vertex", polygon: 0, vertex: 0 });
  assert.equal(editor.polygons[0].length, 3);
  editor.removeVertex({ kind: "vertex", polygon: 0, vertex: 0 });
  assert.deepEqual(editor.polygons, []);
});

test("a draft becomes a polygon with three vertices", () => {
  const editor = new PolygonEditor();
  editor.addToDraft([0, 0]);
  editor.addToDraft([9, 0]);
  assert.equal(editor.closeDraft(), false);
  editor.addToDraft([9, 9]);
  assert.equal(editor.closeDraft(), true);
  assert.equal(editor.draft, null);
  assert.equal(editor.polygons[0].length, 3);
  editor.addToDraft([0, 0]);
  editor.shortenDraft();
  assert.equal(editor.draft, null);
});

test("the brush grows and shrinks by at least a pixel", () => {
  assert.equal(stepSize(2, 1), 3);
  assert.equal(stepSize(100, 1), 115);
  assert.equal(stepSize(115, -1), 100);
  assert.equal(stepSize(1, -5), 1);
  assert.equal(stepSize(1000, 1), 1000);
});

test("a sharper part has a margin, and at most as many pixels as a texture", () => {
  assert.deepEqual(planPart([100, 100, 200, 200], [1000, 2000], 1, 4096), { box: [90, 90, 210, 210], width: 120 });
  const { box, width } = planPart([0, 0, 10000, 5000], [20000, 20000], 1, 4096);
  assert.deepEqual(box, [0, 0, 11000, 5500]);
  assert.equal(width, 4096);
  assert.equal(planPart([0, 0, 5000, 10000], [20000, 20000], 1, 4096).width, 2048);
});

/** A clock that is moved by hand. */
function makeClock() {
  const clock = { time: 0, timers: new Map(), next: 1 };
  return Object.assign(clock, {
    now: () => clock.time,
    setTimeout: (run, ms) => clock.timers.set(clock.next, { run, at: clock.time + ms }) && clock.next++,
    clearTimeout: (id) => clock.timers.delete(id),
    advance(ms) {
      clock.time += ms;
      for (const [id, { run, at }] of clock.timers) if (at <= clock.time && clock.timers.delete(id)) run();
    },
  });
}

test("hovers are sent every 40 ms at most, the last position always", () => {
  const [clock, sent] = [makeClock(), []];
  const throttle = new HoverThrottle((x, y) => void sent.push([x, y]), () => sent.push("end"), clock);
  throttle.move(1, 1);
  throttle.move(2, 2);
  clock.advance(20);
  throttle.move(3, 3);
  assert.deepEqual(sent, [[1, 1]]);
  clock.advance(20);
  assert.deepEqual(sent, [[1, 1], [3, 3]]);
  throttle.move(4, 4);
  throttle.stop();
  throttle.stop();
  clock.advance(100);
  assert.deepEqual(sent, [[1, 1], [3, 3], "end"]);
});

test("a hover waits for the reply of the last one, but not forever", async () => {
  const [clock, sent] = [makeClock(), []];
  let reply;
  const throttle = new HoverThrottle((x) => (sent.push(x), new Promise((resolve) => (reply = resolve))), () => {}, clock);
  throttle.move(1, 1);
  throttle.move(2, 2);
  clock.advance(500);
  assert.deepEqual(sent, [1]);
  reply();
  await null;
  await null;
  assert.deepEqual(sent, [1, 2]);
  throttle.move(3, 3);
  clock.advance(2000);
  assert.deepEqual(sent, [1, 2, 3]); // the reply to 2 is lost
});

/** A loader whose transfers end when they are told to. */
function makeLoader(options = {}) {
  const transfers = new Map();
  const started = [];
  const load = (url, { signal }) =>
    new Promise((resolve, reject) => {
      started.push(url);
      transfers.set(url, (ok = true) => resolve({ ok, status: 500, json: async () => ({}), blob: async () => url }));
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  const decode = async () => ({ width: 100, height: 100, close() {} });
  const loader = new FrameLoader({ fetch: load, decode, ...options });
  const finish = async (frame, ok) => {
    transfers.get(`/frames/1/${frame}`)(ok);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { loader, started, finish };
}
const shown = (frame, frames = 100) => ({ medium: 1, frame, size: [100, 100], frames });

test("frames that arrive in order are displayed, older ones are not", async () => {
  const { loader, finish } = makeLoader();
  const results = [3, 4, 5].map((frame) => loader.show(shown(frame)));
  await finish(4);
  await finish(5);
  await finish(3);
  assert.deepEqual((await Promise.all(results)).map((one) => one && one.frame), [null, 4, 5]);
});

test("of many frames the oldest are stopped, the last one never is", async () => {
  const { loader, finish, started } = makeLoader();
  const results = [1, 2, 3, 4, 5, 6].map((frame) => loader.show(shown(frame)));
  await finish(6);
  for (const frame of [4, 5]) await finish(frame);
  assert.deepEqual((await Promise.all(results)).map((one) => one && one.frame), [null, null, null, null, null, 6]);
  assert.equal(new Set(started).size, 6 + 2); // and two prefetches
});

test("frames are prefetched in the direction of travel", async () => {
  const { loader, finish, started } = makeLoader();
  loader.show(shown(50));
  await finish(50);
  assert.deepEqual(started.splice(0), ["/frames/1/50", "/frames/1/51", "/frames/1/52"]);
  loader.show(shown(49));
  await finish(49);
  assert.deepEqual(started.splice(0), ["/frames/1/49", "/frames/1/48", "/frames/1/47"]);
  await finish(48);
  assert.ok(loader.has(1, 48));
  assert.deepEqual(started, ["/frames/1/46"]);
});

test("the cache has a budget", async () => {
  const { loader, finish } = makeLoader({ budget: 100 * 100 * 4 * 3 });
  for (const frame of [10, 20, 10, 30, 40]) {
    const result = loader.show(shown(frame, 41));
    if (!loader.has(1, frame)) await finish(frame);
    await result;
  }
  assert.deepEqual([10, 20, 30, 40].map((frame) => loader.has(1, frame)), [true, false, true, true]);
});

test("a frame that cannot be loaded is a problem, unless another one was asked for", async () => {
  const { loader, finish } = makeLoader();
  const first = loader.show(shown(1));
  const second = loader.show(shown(2));
  await finish(1, false);
  assert.equal(await first, null);
  finish(2, false);
  await assert.rejects(second, /HTTP 500/);
});

test("large images are requested reduced", async () => {
  const { loader, started } = makeLoader({ maxSide: 4096 });
  loader.show({ medium: 1, frame: 0, size: [8000, 4000], frames: 1 });
  loader.loadPart(1, 0, [0, 10, 20, 30], 20);
  assert.deepEqual(started, ["/frames/1/0?width=2048", "/frames/1/0?region=0,10,20,30&width=20"]);
});
