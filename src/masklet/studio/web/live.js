/** Page of `masklet webcam`: the camera's frames with their masks, the objects, and what is saved. */

import { Connection } from "./connection.js";
import { append, counted, fill, h, part, setText, span, updateList } from "./dom.js";
import { icon } from "./icons.js";
import { createControls, setButtonText } from "./live_controls.js";
import { LiveSession } from "./live_session.js";
import { LiveView } from "./live_view.js";
import { Messages } from "./messages.js";
import { splitRuns } from "./rle.js";
import { startTheme } from "./theme.js";

/** @import { ConnectionState, Message } from "./connection.js" */
/** @import { LiveMask } from "./live_view.js" */

const PROMPT_MS = 1500; // for which a prompt stays on the screen while the frames go on

class LivePage {
  constructor() {
    startTheme();
    this.messages = new Messages(part("messages"));
    /** @type {LiveView | null} */
    this.view = null;
    /** @type {LiveMask[]} */
    this.objects = [];
    this.paused = false;
    this.gesture = false;
    this.masksVisible = true;
    this.ended = false;
    /** Whether recordings can be started and stopped here. */
    this.canRecord = false;
    /** @type {number | null} */
    this.held = null;
    this.promptTimer = 0;
    const folder = location.pathname.replace(/\/$/, ""); // "" or "/live/1"
    this.connection = new Connection(`ws://${location.host}${folder}/ws`, {
      onEvent: (event) => this.handleEvent(event),
      onBinary: (header, payload) => this.handleBinary(header, payload),
      onState: (state) => this.handleState(state),
    }, { authorized: async () => (await fetch("/", { method: "HEAD" })).status !== 401 });
    this.session = new LiveSession({
      request: (command, fields) => this.connection.request(command, fields),
      frame: () => this.view?.number ?? null,
      zoom: () => this.view?.viewport.zoom ?? 1,
      onChange: () => this.drawPrompt(),
      onProblem: (problem) => this.messages.problem(problem),
    });
    this.ui = createControls({
      pause: () => this.togglePause(),
      next: () => this.session.select(null),
      record: () => this.record(),
      stop: () => this.stop(),
    });
    document.addEventListener("keydown", (event) => this.handleKey(event));
    this.connection.open();
  }

  /** @param {ConnectionState} state */
  async handleState(state) {
    if (this.ended) return;
    this.view?.setEnabled(state === "open");
    const texts = {
      open: "Connected",
      connecting: "Connecting …",
      lost: "The connection to masklet was lost. Trying again …",
      refused: "masklet does not accept this window; open the file that it names once more.",
      closed: "",
    };
    setText(this.ui.state, texts[state]);
    this.ui.state.classList.toggle("bad", state === "lost" || state === "refused");
    if (state === "lost" || state === "refused") this.showVeil(h("div", { class: "card", role: "alert" }, texts[state]), true);
    if (state !== "open") return;
    this.ui.veil.hidden = true;
    this.held = null;
    this.start(await this.connection.request("hello"));
  }

  /** @param {Message} hello */
  start({ camera, size, outputs, can_record: canRecord }) {
    setText(this.ui.camera, camera);
    document.title = `${camera} – masklet`;
    this.canRecord = canRecord;
    this.ui.recordButton.hidden = this.ui.studioLink.hidden = !canRecord;
    const rows = Object.entries(outputs);
    if (!canRecord || !this.view) fill(this.ui.saves, ...this.describeOutputs(rows));
    const stop = canRecord ? "Close the camera" : rows.length ? "Stop and save" : "Stop";
    setButtonText(this.ui.stopButton, stop);
    if (!this.view) {
      this.view = new LiveView(this.ui.container, size, this.session, (number) => {
        this.ui.container.dataset.frame = String(number);
        this.drawObjects();
      });
      this.view.viewport.canvas.setAttribute("aria-label", `Frames of ${camera}`);
      this.listenToGestures(this.view.viewport.canvas);
    }
    this.hold();
  }

  /** @param {[string, string][]} rows @returns {HTMLElement[]} */
  describeOutputs(rows) {
    if (rows.length) return rows.flatMap(([name, path]) => [h("dt", {}, name), h("dd", {}, path)]);
    const hint = this.canRecord
      ? "Nothing yet. A recording becomes a video of the project."
      : "Nothing is saved. Start masklet webcam with --record or --out to save a video or masks.";
    return [h("dd", { class: "hint" }, hint)];
  }

  /** Start or stop a recording. */
  async record() {
    const on = this.ui.recordButton.getAttribute("aria-pressed") !== "true";
    try {
      await this.connection.request("record", { on });
    } catch (problem) {
      this.messages.problem(problem);
    }
  }

  /** @param {string | null | undefined} path The file that is being written. */
  showRecording(path) {
    this.ui.recordButton.setAttribute("aria-pressed", String(Boolean(path)));
    setButtonText(this.ui.recordButton, path ? "Stop recording" : "Record");
  }

  /** @param {string} path */
  showRecorded(path) {
    this.ui.saves.querySelector(".hint")?.remove();
    append(this.ui.saves, h("dd", {}, path));
    this.messages.notice(`Recorded ${path}. It is a video of the project now.`);
  }

  /** Keep the frame while a button is down, so that clicks and boxes apply to what was pressed on. @param {HTMLElement} canvas */
  listenToGestures(canvas) {
    const end = () => {
      this.gesture = false;
      this.hold();
    };
    canvas.addEventListener("pointerdown", () => {
      this.gesture = true;
      this.hold();
    });
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    window.addEventListener("blur", end);
  }

  /** Freeze or release the displayed frame, and let the server keep its image. */
  hold() {
    const wanted = this.paused || this.gesture ? this.view?.number ?? null : null;
    if (wanted === null) this.view?.unfreeze();
    else this.view?.freeze();
    this.ui.pausedMark.hidden = !this.paused;
    if (wanted === this.held || this.connection.state !== "open") return;
    this.held = wanted;
    // after the prompts that are on their way, which may need the frame
    this.session.enqueue(() => this.connection.request("hold", { frame: wanted }));
  }

  togglePause() {
    this.paused = !this.paused;
    this.session.clearPrompt();
    this.ui.pauseButton.setAttribute("aria-pressed", String(this.paused));
    setButtonText(this.ui.pauseButton, this.paused ? "Resume" : "Pause");
    this.hold();
  }

  async stop() {
    this.ui.stopButton.disabled = true;
    try {
      await this.connection.request("stop");
    } catch (problem) {
      this.ui.stopButton.disabled = false;
      this.messages.problem(problem);
    }
  }

  /** @param {Message} header @param {ArrayBuffer} payload */
  handleBinary(header, payload) {
    /** @type {LiveMask[]} */
    const masks = splitRuns(header.masks, payload).map((mask) => ({ ...mask, hidden: !mask.visible }));
    if (header.kind === "masks") {
      this.view?.setMasks(header.number, masks, header.size);
      return;
    }
    if (header.kind !== "frame") return;
    this.objects = masks;
    const { frames, rate, dropped } = header;
    if (this.canRecord) this.showRecording(header.recording);
    setText(this.ui.counts, `${counted(frames, "frame")} · ${rate.toFixed(1)} frames/s · ${dropped} dropped · ${counted(masks.length, "object")}`);
    const jpeg = new Blob([new Uint8Array(payload, masks.reduce((end, { runs }) => end + runs.byteLength, 0))], { type: "image/jpeg" });
    this.view?.receive({ number: header.number, size: header.size, masks, jpeg });
    if (this.paused) this.drawObjects();
  }

  /** @param {Message} event */
  handleEvent(event) {
    if (event.event === "recorded") this.showRecorded(event.path);
    else if (event.event === "problem") this.messages.problem(event.problem.detail);
    else if (event.event === "ended") this.showEnd(event);
    else if (event.event === "closing" && !this.ended) this.showEnd({ problem: { detail: "masklet has ended." } });
  }

  /** @param {Message} end `files` is missing if the server ended without a word about them. */
  showEnd({ files, problem }) {
    this.ended = true;
    this.connection.close();
    this.view?.setEnabled(false);
    for (const control of [this.ui.pauseButton, this.ui.nextButton, this.ui.recordButton, this.ui.stopButton]) control.disabled = true;
    setText(this.ui.state, "Ended");
    const saved = Object.entries(files || {});
    const heading = h("h2", {}, this.canRecord ? "The camera is closed" : "The session has ended");
    const card = h("div", { class: "card", role: "alert" }, heading, problem && h("p", { class: "problem-text" }, problem.detail));
    if (saved.length) {
      const items = saved.map(([name, path]) => h("li", {}, `${name}: `, h("code", {}, path)));
      append(card, h("p", {}, "Saved:"), h("ul", {}, ...items));
    } else if (files && !problem)
      append(card, h("p", {}, "Nothing was saved, because masklet webcam was started without --record and --out."));
    this.showVeil(card, false);
  }

  /** @param {HTMLElement} card @param {boolean} through Whether the image stays visible. */
  showVeil(card, through) {
    fill(this.ui.veil, card);
    this.ui.veil.classList.toggle("through", through);
    this.ui.veil.hidden = false;
  }

  drawObjects() {
    const { objects, session } = this;
    if (session.active !== null && !this.paused && objects.some(({ object, hidden }) => object === session.active && !hidden)) this.expirePrompt();
    this.ui.empty.hidden = objects.length > 0;
    updateList(this.ui.list, objects, ({ object }) => String(object), (mask) => this.createRow(mask), (row, mask) => this.updateRow(row, mask));
    this.view?.viewport.setActive(session.active, objects.find(({ object }) => object === session.active)?.color);
    this.ui.nextButton.setAttribute("aria-pressed", String(session.active === null));
  }

  /** @param {LiveMask} mask */
  createRow({ object, color }) {
    const swatch = span("swatch");
    swatch.style.background = color;
    return h("li", { class: "item" }, swatch,
      h("button", { type: "button", class: "main", onclick: () => this.session.select(object) }, span("name")),
      h("button", { type: "button", class: "button icon-only", "aria-label": `Remove object ${object}`, title: "Remove", onclick: () => this.session.remove(object) }, icon("remove"))); // prettier-ignore
  }

  /** @param {HTMLElement} row @param {LiveMask} mask */
  updateRow(row, { object, hidden }) {
    const active = object === this.session.active;
    row.classList.toggle("selected", active);
    row.querySelector(".main")?.setAttribute("aria-current", String(active));
    setText(/** @type {HTMLElement} */ (row.querySelector(".name")), hidden ? `Object ${object}, hidden` : `Object ${object}`);
  }

  /** Draw the prompt of the active object, and its selection. */
  drawPrompt() {
    this.view?.setPrompt(this.session.prompt);
    this.drawObjects();
  }

  /** Remove the prompt from the screen once its object moves on. */
  expirePrompt() {
    const { session } = this;
    if (this.promptTimer || session.promptFrame === null) return;
    const frame = session.promptFrame;
    this.promptTimer = setTimeout(() => {
      this.promptTimer = 0;
      if (!this.paused && !this.gesture && session.promptFrame === frame) session.clearPrompt();
    }, PROMPT_MS);
  }

  /** @param {KeyboardEvent} event */
  handleKey(event) {
    if (event.ctrlKey || event.metaKey || this.ended || !this.view) return;
    if (this.view.handleKey(event)) {
      event.preventDefault();
      return;
    }
    const isControl = event.target instanceof HTMLElement && event.target.matches("button, input");
    if (isControl && (event.key === "Enter" || event.key === " ")) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      enter: () => this.session.select(null),
      n: () => this.session.select(null),
      delete: () => this.session.active !== null && this.session.remove(this.session.active),
      p: () => this.togglePause(),
      h: () => this.view?.viewport.setMasksVisible((this.masksVisible = !this.masksVisible)),
      c: () => this.view?.toggleKeyboardCursor(),
      0: () => this.view?.viewport.fit(),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

new LivePage();
