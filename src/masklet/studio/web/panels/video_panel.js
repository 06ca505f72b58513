/** Video panel: transport, tracking, the plan to recompute, progress, and the timeline. */

import { button, checkbox, iconButton, setLabel, spacer } from "../controls.js";
import { append, counted, div, h, setText, span } from "../dom.js";
import { icon } from "../icons.js";
import { Timeline } from "../timeline.js";
import { formatDuration, formatTime } from "../tracking.js";

/** @import { App } from "../app.js" */

/** @param {string} label @param {...HTMLElement} controls */
function group(label, ...controls) {
  return h("div", { class: "group", role: "group", "aria-label": label }, ...controls);
}

/** @param {App} app @param {HTMLElement} root */
export function createVideoPanel(app, root) {
  const { store, tracking } = app;
  const timeline = new Timeline(store, {
    onJump: (frame) => app.navigation.jump(frame),
    onSelect: (object) => store.select(object),
    onRange: (range) => store.setRange(range),
  });
  const play = iconButton("play", "Play", "play");
  const frame = h("input", {
    class: "field frame-number",
    type: "number",
    min: 0,
    step: 1,
    "aria-label": "Frame",
    title: "Frame",
  });
  frame.addEventListener("change", () => {
    if (frame.value !== "" && Number.isFinite(frame.valueAsNumber))
      app.navigation.jump(Math.round(frame.valueAsNumber));
  });
  const total = span("total");
  const time = h("span", { class: "time", title: "Time" });
  const onlySelected = checkbox({ label: "Selected", onchange: (on) => (tracking.onlySelected = on) });
  onlySelected.row.title = "Track and accept only the selected object";
  onlySelected.input.setAttribute("aria-label", onlySelected.row.title);
  const range = button({
    icon: "range",
    text: "Range",
    label: "Track the range",
    action: "track.range",
    class: "outlined",
  });
  const acceptRange = iconButton("acceptRange", "Accept the masks of the range", "acceptRange");
  const clearRange = iconButton("eraser", "Clear the range", "clearRange");
  const stop = button({ icon: "stop", text: "Stop", label: "Stop tracking", action: "track.stop", class: "outlined" });
  const transport = div(
    "transport",
    div(
      "group",
      iconButton("first", "First frame", "step.first"),
      iconButton("previous", "Previous frame", "step.back"),
      play,
      iconButton("next", "Next frame", "step.next"),
      iconButton("last", "Last frame", "step.last"),
    ),
    div("group", frame, total, time),
    group(
      "Track",
      iconButton("backward", "Track backward", "track.backward"),
      button({ icon: "forward", text: "Track", label: "Track forward", action: "track", class: "outlined" }),
      iconButton("both", "Track in both directions", "track.both"),
      range,
      onlySelected.row,
    ),
    group(
      "Review",
      iconButton("reviewBack", "Previous frame to review", "review.previous"),
      button({ icon: "review", text: "Review", label: "Next frame to review", action: "review.next" }),
      iconButton("accept", "Accept the masks of this frame", "accept"),
      acceptRange,
      clearRange,
    ),
    spacer(),
    group(
      "Timeline",
      button({ icon: "minus", label: "Show more frames of the timeline", onclick: () => timeline.zoom(1.6) }),
      button({ icon: "fit", label: "Show the whole timeline", onclick: () => timeline.showAll() }),
      button({ icon: "add", label: "Show fewer frames of the timeline", onclick: () => timeline.zoom(1 / 1.6) }),
    ),
  );
  const planText = h("span", { role: "status" });
  const recompute = button({ text: "Recompute", action: "track", class: "primary" });
  const notNow = button({ text: "Not now", onclick: () => tracking.dismiss() });
  const planLine = h("div", { class: "plan-line", hidden: true }, icon("retrack"), planText, recompute, notNow);
  const runText = h("span", {});
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Tracking" });
  const follow = checkbox({ label: "Follow", checked: true, onchange: (on) => (tracking.follows = on) });
  const runLine = h("div", { class: "run-line", hidden: true }, bar, runText, follow.row, stop);
  append(root, transport, timeline.root);
  document.getElementById("canvas-area")?.append(planLine, runLine);

  function drawPlace() {
    root.hidden = !store.isVideo;
    if (!store.isVideo) return;
    frame.max = String(store.frames - 1);
    if (document.activeElement !== frame || frame.value === "") frame.value = String(store.frame);
    setText(total, `of ${store.frames.toLocaleString("en")}`);
    setText(time, store.shown?.times ? formatTime(store.timeOf(store.frame)) : "");
  }

  function drawRange() {
    const { range: selected } = store;
    const label = selected ? `Track frames ${selected.start} to ${selected.stop - 1}` : "Track the range";
    setLabel(range, label, app.shortcuts);
    range.disabled = acceptRange.disabled = clearRange.disabled = selected === null;
  }

  function drawTracking() {
    const { plan, run } = tracking;
    const shown = plan !== null && plan.medium === store.medium && run === null;
    planLine.hidden = !shown;
    if (shown)
      setText(planText, `${counted(plan.frames, "frame")}, ${plan.first} to ${plan.last}, depend on this correction.`);
    runLine.hidden = run === null && tracking.starting === null;
    if (!run) {
      bar.removeAttribute("value");
      setText(runText, "Starting…");
      return;
    }
    bar.max = run.total || 1;
    bar.value = run.done;
    const parts = [`${run.done} of ${counted(run.total, "frame")}`];
    if (run.frame !== null) parts.unshift(`Frame ${run.frame}`);
    if (run.rate) parts.push(`${run.rate >= 10 ? Math.round(run.rate) : run.rate.toFixed(1)} frames/s`);
    if (run.secondsLeft !== null) parts.push(`${formatDuration(run.secondsLeft)} left`);
    setText(runText, parts.join(" · "));
    follow.input.checked = tracking.follows;
  }

  frame.addEventListener("focus", () => frame.select());
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Enter") app.view.focus();
  });
  tracking.onChange = drawTracking;
  const { playback } = app.navigation;
  playback.onChange = () => {
    const { playing } = playback;
    play.replaceChildren(icon(playing ? "pause" : "play"));
    setLabel(play, playing ? "Pause" : "Play", app.shortcuts);
  };
  store.subscribe(["place", "media"], () => {
    drawPlace();
    drawTracking();
  });
  store.subscribe(["range", "place"], drawRange);
  drawRange();
  return { timeline };
}
