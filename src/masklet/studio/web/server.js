/** Server: requests with their replies, what the server sends, and what is known about its state. */

import { Connection } from "./connection.js";
import { counted } from "./dom.js";
import { Emitter } from "./emitter.js";
import { problemText, sentence } from "./messages.js";
import { splitRuns } from "./rle.js";

/** @import { ConnectionState } from "./connection.js" */
/** @import { Messages } from "./messages.js" */
/** @typedef {Record<string, any>} Fields */

/** Commands that leave the project as it is. */
const READS = new Set(
  (
    "hello show hover get_polygons plan_tracking plan_retracking propose detect next_review get_lanes " +
    "list_annotations stop_tracking settle export"
  ).split(" "),
);

/**
 * The server. It emits `state` {state} of the connection, `status` after any change of the properties, the events
 * `changes`, `progress` of tracking and `export`, and binary messages by their kind as {header, payload, masks}.
 */
export class Server extends Emitter {
  /** @param {string} url of the WebSocket @param {Messages} messages */
  constructor(url, messages) {
    super();
    this.messages = messages;
    /** @type {string | null} what it does */
    this.busy = null;
    this.unsaved = 0; // commands without a reply
    this.closing = false;
    this.modelProblem = ""; // why the model could not be loaded
    this.connection = new Connection(
      url,
      {
        onEvent: (event) => this.receiveEvent(event),
        onBinary: (header, payload) => this.receiveBinary(header, payload),
        onState: (state, lost) => this.changeState(state, lost),
      },
      { authorized: isAuthorized },
    );
  }

  /** @returns {ConnectionState} */
  get state() {
    return this.connection.state;
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
    this.emit("status");
  }

  /** @param {ConnectionState} state @param {string[]} lost commands */
  changeState(state, lost) {
    this.busy = null;
    if (state !== "open") this.modelProblem = "";
    const changes = lost.filter((command) => !READS.has(command)).length;
    if (changes) {
      this.messages.problem(
        `The connection was lost before ${counted(changes, "action")} could be confirmed. Look whether to repeat it.`,
      );
    }
    this.emit("state", { state });
    this.emit("status");
  }

  /** @param {Fields} event */
  receiveEvent(event) {
    if (event.event === "changes") this.emit("changes", event);
    else if (event.event === "progress") this.emit((event.export ?? null) !== null ? "export" : "progress", event);
    else {
      if (event.event === "problem") this.receiveProblem(event);
      else if (event.event === "warning") this.messages.note(sentence(event.message));
      else if (event.event === "busy") this.busy = event.what;
      else if (event.event === "closing") {
        this.closing = true;
        this.messages.notice("The server has ended. Everything is saved.");
      }
      this.emit("status");
    }
  }

  /** @param {Fields} header @param {ArrayBuffer} payload */
  receiveBinary(header, payload) {
    const masks = splitRuns(header.masks || [], payload);
    this.emit(header.kind, { header, payload, masks });
  }

  /** @param {Fields} event `problem`: a command failed after its reply, or the model could not be loaded */
  receiveProblem({ command, problem }) {
    const text = problemText(problem, "The last action failed.");
    if (command === "load") this.modelProblem = text;
    else if (command === "show" && text === this.modelProblem) return; // the status line says it
    this.messages.problem(sentence(command === "load" ? `The model could not be loaded: ${text}` : text));
  }

  reportSaved() {
    if (this.state !== "open") this.messages.problem("The server is not connected. What it confirmed is saved.");
    else if (this.unsaved) this.messages.notice("The last action is being saved.");
    else this.messages.notice("Everything is saved. Each action is saved when it happens.");
  }
}

/** @returns {Promise<boolean>} false if the server refuses the cookie of this window */
async function isAuthorized() {
  try {
    return (await fetch("/", { method: "HEAD", cache: "no-store" })).status !== 401;
  } catch {
    return true;
  }
}
