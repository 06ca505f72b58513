/** Mask display: draws the masks and the prompt of the store in the view. */

/** @import { Store } from "./store.js" */

const NEW_OBJECT_COLOR = "#3b82f6";

export class MaskDisplay {
  /**
   * @param {Store} store
   * @param {import("./image_view.js").ImageView} view
   * @param {import("./prompt_editor.js").PromptEditor} editor
   */
  constructor(store, view, editor) {
    this.store = store;
    this.view = view;
    this.editor = editor;
    store.subscribe(["masks", "objects", "view"], () => this.drawMasks());
    store.subscribe(["selection", "prompts", "objects", "classes"], () => this.drawPrompt());
  }

  drawMasks() {
    const { store } = this;
    const masks = store.shownMasks;
    if (!masks) return;
    const drawn = masks.masks.flatMap(({ object, runs }) => {
      const entry = store.objectOf(object);
      if (!entry) return [];
      return [{ object, runs, color: entry.color, hidden: !store.isVisible(object), locked: entry.locked }];
    });
    this.view.setMasks({ medium: masks.medium, frame: masks.frame, size: masks.size }, drawn);
  }

  drawPrompt() {
    const { store } = this;
    const color = store.currentClass === null ? NEW_OBJECT_COLOR : store.classes.get(store.currentClass)?.color;
    this.view.viewport.setActive(store.object, color);
    this.view.setPrompt(this.editor.prompt);
  }

  /** Draw both in place of a change that is refused. */
  draw() {
    this.drawPrompt();
    this.drawMasks();
  }
}
