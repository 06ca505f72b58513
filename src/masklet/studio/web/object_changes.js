/** Object changes: fields, visibility, lock and removal of objects, steps through them, and copies. */

import { counted } from "./dom.js";

/** @import { Store } from "./store.js" */

export class ObjectChanges {
  /**
   * @param {Store} store
   * @param {import("./server.js").Server} server
   * @param {import("./messages.js").Messages} messages
   * @param {(action: string) => string} hint the key of an action in parentheses
   */
  constructor(store, server, messages, hint) {
    this.store = store;
    this.server = server;
    this.messages = messages;
    this.hint = hint;
  }

  /**
   * Change fields of an object of the medium that is shown.
   *
   * @param {number} object
   * @param {Record<string, any>} fields
   */
  change(object, fields) {
    return this.server.send("change_object", { medium: this.store.medium, object, fields });
  }

  /** @param {"hidden" | "locked"} field @param {number | null} [object] */
  toggle(field, object = this.store.object) {
    const entry = this.store.objectOf(object);
    if (object !== null && entry) this.change(object, { [field]: !entry[field] });
  }

  toggleHideAll() {
    this.store.hideAll = !this.store.hideAll;
    this.store.touch("objects", "view");
  }

  /** @param {number | null} [object] */
  toggleSolo(object = this.store.object) {
    this.store.solo = this.store.solo === object ? null : object;
    this.store.touch("objects", "view");
  }

  /** Select another object. @param {number} steps */
  step(steps) {
    const ids = this.store.objectIds;
    if (!ids.length) return;
    const at = this.store.object === null ? (steps > 0 ? -1 : ids.length) : ids.indexOf(this.store.object);
    this.store.select(ids[(at + steps + ids.length) % ids.length]);
    this.messages.announce(`${this.store.selectedName} selected.`);
  }

  /**
   * @param {number | null} object
   * @param {string} verb what is refused if it is locked
   * @returns {boolean} whether it is locked, which is reported
   */
  refuseLocked(object, verb) {
    if (object === null || !this.store.objectOf(object)?.locked) return false;
    this.messages.problem(
      `${this.store.nameOf(object)} is locked. Unlock it to ${verb} it${this.hint("object.lock")}.`,
    );
    return true;
  }

  /** @param {number | null} [object] */
  async remove(object = this.store.object) {
    if (object === null || !this.store.objectOf(object) || this.refuseLocked(object, "delete")) return;
    const name = this.store.nameOf(object);
    const reply = await this.server.send("remove_objects", { medium: this.store.medium, objects: [object] });
    if (reply) this.messages.notice(`${name} was deleted. Undo brings it back${this.hint("undo")}.`);
  }

  /**
   * Copy the selected object, or all that are visible, to the next image or frame, and show it.
   *
   * @param {import("./prompt_editor.js").PromptEditor} editor whose prompts need their masks first
   * @param {import("./navigation.js").Navigation} navigation
   */
  async copyToNext(editor, navigation) {
    const { store } = this;
    const { medium, frame } = store;
    if (!(await editor.settle())) return;
    const objects = store.targets;
    const toMedium = store.isVideo ? medium : store.neighbor(1);
    const toFrame = store.isVideo ? frame + 1 : 0;
    if (toMedium === null || toFrame >= (store.media.get(toMedium)?.frames || 1)) {
      this.messages.notice("There is no next image or frame.");
      return;
    }
    if (!objects.length) {
      this.messages.notice("There are no objects to copy.");
      return;
    }
    const fields = { medium, frame, objects, to_medium: toMedium, to_frame: toFrame };
    if (!(await this.server.send("copy_objects", fields))) return;
    this.messages.notice(`${counted(objects.length, "object")} copied.`);
    navigation.goTo(toMedium, toFrame);
  }
}
