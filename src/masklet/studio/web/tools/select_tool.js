/** Select tool: a click selects the object under the cursor or takes a proposal, a drag pans. */

import { Tool } from "./tool.js";

/** @import { Pointer } from "./tool.js" */

/** Proposals are objects with negative ids: −1 is the first one. */
export class SelectTool extends Tool {
  get pans() {
    return true;
  }

  /** @param {Pointer} pointer */
  hover(pointer) {
    const object = this.viewport.objectAt(pointer.x, pointer.y);
    this.viewport.setHighlighted(object);
    return object === null ? "grab" : "pointer";
  }

  hoverEnd() {
    this.viewport.setHighlighted(null);
  }

  /** @param {Pointer} pointer */
  release(pointer) {
    if (pointer.moved) return;
    const object = this.viewport.objectAt(pointer.x, pointer.y);
    if (object !== null && object < 0) this.actions.takeProposal(-object - 1);
    else this.actions.pick(object);
  }
}
