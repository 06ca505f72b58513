/** Connection to the server: requests with replies, events, binary messages, reconnection. */

/** @typedef {Record<string, any>} Message */
/** @typedef {"connecting" | "open" | "lost" | "refused" | "closed"} ConnectionState */

class Problem extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

const FIRST_DELAY_MS = 300;
const LAST_DELAY_MS = 5000;

/** @param {ArrayBuffer} data a binary message @returns {{header: Message, payload: ArrayBuffer}} */
export function parseBinary(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return { header, payload: data.slice(4 + length) };
}

/** @param {Message} header @param {Uint8Array} payload @returns {Uint8Array} a binary message */
export function formatBinary(header, payload) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 4) * 4;
  const data = new Uint8Array(4 + length + payload.length).fill(32, 4, 4 + length);
  new DataView(data.buffer).setUint32(0, length, true);
  data.set(text, 4);
  data.set(payload, 4 + length);
  return data;
}

export class Connection {
  /**
   * @param {string} url
   * @param {object} handlers
   * @param {(message: Message) => void} handlers.onEvent
   * @param {(header: Message, payload: ArrayBuffer) => void} handlers.onBinary
   * @param {(state: ConnectionState, lost: string[]) => void} handlers.onState `lost` are the commands without a reply
   * @param {{create?: (url: string) => WebSocket, authorized?: () => Promise<boolean>}} [options]
   */
  constructor(url, handlers, options = {}) {
    this.url = url;
    this.handlers = handlers;
    this.create = options.create || ((address) => new WebSocket(address));
    this.authorized = options.authorized || (async () => true);
    /** @type {ConnectionState} */
    this.state = "connecting";
    /** @type {WebSocket | null} */
    this.socket = null;
    this.nextId = 1;
    this.delay = FIRST_DELAY_MS;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Map<number, {command: string, resolve: (reply: Message) => void, reject: (problem: Problem) => void}>} */
    this.waiting = new Map();
  }

  open() {
    clearTimeout(this.timer);
    if (this.socket) return;
    const socket = this.create(this.url);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.delay = FIRST_DELAY_MS;
      this.enter("open", []);
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => this.lose(event.code);
  }

  /** Connect now instead of after the delay. */
  retry() {
    this.delay = FIRST_DELAY_MS;
    if (!this.socket && this.state !== "closed") this.open();
  }

  close() {
    this.state = "closed";
    clearTimeout(this.timer);
    this.socket?.close();
  }

  /**
   * @param {string} command
   * @param {Message} [fields]
   * @returns {Promise<any>} the reply
   * @throws {Problem} if the command is refused, or the connection is lost
   */
  request(command, fields = {}) {
    return this.send(command, (id) => JSON.stringify({ id, command, ...fields }));
  }

  /** @param {string} command @param {Message} fields @param {Uint8Array} payload @returns {Promise<any>} */
  requestBinary(command, fields, payload) {
    return this.send(command, (id) => formatBinary({ id, command, ...fields }, payload));
  }

  /** @param {string} command @param {(id: number) => string | Uint8Array} format @returns {Promise<any>} */
  send(command, format) {
    const socket = this.socket;
    if (!socket || socket.readyState !== 1) {
      return Promise.reject(new Problem("not-connected", "The server is not connected, so nothing was changed."));
    }
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { command, resolve, reject });
      socket.send(/** @type {any} */ (format(id)));
    });
  }

  /** @param {string | ArrayBuffer} data */
  receive(data) {
    if (typeof data !== "string") {
      const { header, payload } = parseBinary(data);
      this.handlers.onBinary(header, payload);
      return;
    }
    const message = JSON.parse(data);
    if (!("reply" in message)) {
      this.handlers.onEvent(message);
      return;
    }
    const request = this.waiting.get(message.reply);
    this.waiting.delete(message.reply);
    if (!request) return;
    const { problem } = message;
    if (problem) request.reject(new Problem(problem.code, problem.detail));
    else request.resolve(message);
  }

  /** @param {number} code of the closed socket */
  async lose(code) {
    const wasOpen = this.state === "open";
    this.socket = null;
    const commands = [...this.waiting.values()].map((request) => request.command);
    for (const request of this.waiting.values()) {
      request.reject(new Problem("connection-lost", "The connection to the server was lost."));
    }
    this.waiting.clear();
    if (this.state === "closed") return;
    if (!wasOpen && code === 1006 && !(await this.authorized())) {
      this.enter("refused", commands); // until another window of this browser gets access
      this.delay = LAST_DELAY_MS;
    } else this.enter("lost", commands);
    this.timer = setTimeout(() => this.open(), this.delay);
    this.delay = Math.min(LAST_DELAY_MS, this.delay * 2);
  }

  /** @param {ConnectionState} state @param {string[]} lost */
  enter(state, lost) {
    if (state === this.state && !lost.length) return;
    this.state = state;
    this.handlers.onState(state, lost);
  }
}
