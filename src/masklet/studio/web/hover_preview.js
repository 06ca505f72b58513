/** Hover preview: the mask that a click under the pointer would give. */

const STORAGE = "masklet.previews";

export class HoverPreview {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./server.js").Server} server
   * @param {import("./image_view.js").ImageView} view
   * @param {import("./prompt_editor.js").PromptEditor} editor
   * @param {import("./playback.js").Playback} playback
   */
  constructor(store, server, view, editor, playback) {
    this.store = store;
    this.server = server;
    this.view = view;
    this.editor = editor;
    this.playback = playback;
    this.isOn = localStorage.getItem(STORAGE) !== "off";
    this.turn = 0; // of the request whose preview is drawn
    store.subscribe(["place"], () => this.turn++);
    server.on("preview", ({ header, masks }) => this.receive(header, masks));
  }

  /** @param {number} x @param {number} y */
  async request(x, y) {
    const { medium, frame, object, tool } = this.store;
    if (!this.isOn || object !== null || tool !== "prompt" || this.playback.playing) return;
    if (this.server.state !== "open" || this.editor.prompt.points.length) return;
    const turn = ++this.turn;
    try {
      await this.server.request("hover", { medium, frame, point: [x, y], turn });
    } catch {
      // a preview that fails is left out; the click reports the problem
    }
  }

  /** @param {Record<string, any>} header @param {import("./store.js").Mask[]} masks one or none */
  receive(header, [mask]) {
    if (mask && header.turn === this.turn && this.isOn) this.view.viewport.setPreview(mask.runs, header.size);
  }

  end() {
    this.turn++;
    this.view.viewport.setPreview(null);
  }

  /** @param {boolean} on */
  setOn(on) {
    this.isOn = on;
    localStorage.setItem(STORAGE, on ? "on" : "off");
    if (!on) this.end();
  }
}
