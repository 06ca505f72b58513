// Logic of the live page, for `node live.test.mjs`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveSession } from "../../../src/masklet/studio/web/live_session.js";

/** A session whose requests are recorded; each new object gets the next number. */
function makeSession() {
  const page = { frame: 10, time: 0, sent: [], problems: [], next: 1 };
  const session = new LiveSession({
    request: async (command, fields) => {
      page.sent.push([command, fields]);
      if (page.failure) throw page.failure;
      return { object: fields.object ?? page.next++ };
    },
    frame: () => page.frame,
    zoom: () => 2,
    onChange: () => {},
    onProblem: (problem) => page.problems.push(problem),
    now: () => page.time,
  });
  return { page, session, settle: () => session._queue };
}

test("clicks on one frame are one prompt of one object, also if the reply is late", async () => {
  const { page, session, settle } = makeSession();
  session.click(5, 6, true);
  page.time = 1000;
  session.click(7, 8, false);
  await settle();
  assert.deepEqual(page.sent, [
    ["predict", { frame: 10, object: null, points: [[5, 6, 1]], box: null }],
    ["predict", { frame: 10, object: 1, points: [[5, 6, 1], [7, 8, 0]], box: null }],
  ]);
  assert.equal(session.active, 1);
});

test("the second click of a double click is ignored, on the place and on the point", async () => {
  const { page, session, settle } = makeSession();
  session.click(5, 6, true);
  page.time = 200;
  session.click(6, 6, true);
  session.deletePoint(0);
  await settle();
  assert.equal(page.sent.length, 1);
  page.time = 1000;
  session.deletePoint(0);
  session.click(6, 6, true);
  await settle();
  assert.deepEqual(page.sent[1][1].points, [[6, 6, 1]]);
});

test("a click on a later frame begins a prompt, which corrects the object", async () => {
  const { page, session, settle } = makeSession();
  session.box(1, 2, 30, 40, false);
  await settle();
  page.frame = 25;
  page.time = 1000;
  session.click(5, 6, false);
  await settle();
  assert.deepEqual(page.sent[1], ["predict", { frame: 25, object: 1, points: [[5, 6, 0]], box: null }]);
  session.box(1, 2, 30, 40, true);
  session.deleteBox();
  session.movePoint(0, 9, 9);
  await settle();
  assert.deepEqual(page.sent.at(-1)[1], { frame: 25, object: 1, points: [[9, 9, 0]], box: null });
});

test("the next object begins after select(null), and a removed object is no longer active", async () => {
  const { page, session, settle } = makeSession();
  session.click(5, 6, true);
  await settle();
  session.select(null);
  page.time = 1000;
  session.click(50, 60, true);
  await settle();
  assert.equal(session.active, 2);
  assert.equal(page.sent[1][1].object, null);
  session.remove(2);
  await settle();
  assert.equal(session.active, null);
  assert.deepEqual(page.sent.at(-1), ["remove_objects", { objects: [2] }]);
});

test("a refused prompt is reported, and later ones are sent", async () => {
  const { page, session, settle } = makeSession();
  page.failure = new Error("the frame is too old");
  session.click(5, 6, true);
  await settle();
  page.failure = null;
  page.time = 1000;
  session.click(50, 60, true);
  await settle();
  assert.equal(page.problems.length, 1);
  assert.equal(page.sent.length, 2);
});
