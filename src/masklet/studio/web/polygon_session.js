/** Polygon session: loads the outline of the selected object for the polygon tool, and saves what the user changed. */

import { equalRuns } from "./rle.js";

/** @import { ImageView } from "./image_view.js" */
/** @import { Store } from "./store.js" */
/** @import { Polygon } from "./tools/actions.js" */

export class PolygonSession {
  /** @param {Store} store @param {ImageView} view @param {import("./server.js").Server} server */
  constructor(store, view, server) {
    this.store = store;
    this.view = view;
    this.server = server;
    this.tolerance = 2;
    /** @type {string | null} medium, frame and object of the polygons that are shown */
    this.shown = null;
    /** @type {Uint32Array | null} runs of the mask that the polygons are of */
    this.runs = null;
    this.saving = 0;
    this.savedSeq = -1; // of the log, after the user's last change
    this.turn = 0;
    /** @type {Polygon[]} */
    this.polygons = [];
    /** @type {() => void} */
    this.onChange = () => {};
  }

  /** Load the polygons if the tool, the object or its mask changed. */
  update() {
    const { store } = this;
    const mask = store.selectedMask;
    if (store.tool !== "polygon" || !mask) {
      if (this.shown !== null) this.show(null, null, []);
      return;
    }
    const place = `${store.medium}/${store.frame}/${store.object}`;
    const same = place === this.shown && this.runs !== null && equalRuns(this.runs, mask.runs);
    const own = place === this.shown && (this.saving > 0 || store.masks?.seq === this.savedSeq);
    if (own)
      this.runs = mask.runs; // the mask is that of the polygons on the screen
    else if (!same) this.load(place, mask.runs);
  }

  /** @param {string} place @param {Uint32Array} runs */
  async load(place, runs) {
    const { medium, frame, object } = this.store;
    const turn = ++this.turn;
    this.shown = place;
    this.runs = runs;
    const reply = await this.server.send("get_polygons", { medium, frame, object, tolerance: this.tolerance });
    if (reply && turn === this.turn) this.show(place, runs, reply.polygons);
  }

  /** @param {string | null} place @param {Uint32Array | null} runs @param {Polygon[]} polygons */
  show(place, runs, polygons) {
    this.turn++;
    this.shown = place;
    this.runs = runs;
    this.polygons = polygons;
    this.view.setPolygons(polygons);
    this.onChange();
  }

  /** @param {number} tolerance pixels */
  setTolerance(tolerance) {
    this.tolerance = tolerance;
    const mask = this.store.selectedMask;
    if (this.shown !== null && mask) this.load(this.shown, mask.runs);
  }

  /** Replace the mask by the simplified polygons. */
  async apply() {
    if (this.polygons.length) await this.set(this.polygons);
  }

  /** @param {Polygon[]} polygons */
  async set(polygons) {
    const { medium, frame, object } = this.store;
    if (object === null) return;
    this.polygons = polygons;
    this.turn++;
    this.saving++;
    const reply = await this.server.send("set_polygons", { medium, frame, object, polygons });
    if (reply) this.savedSeq = reply.seq;
    else this.runs = null;
    this.saving--;
    this.onChange();
  }
}
