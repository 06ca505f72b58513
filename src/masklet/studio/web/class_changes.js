/** Class changes: the class of objects, by digit or from a list, and removal of classes. */

import { confirm } from "./dialogs.js";
import { counted } from "./dom.js";

/** @import { FinishedObject, PromptEditor } from "./prompt_editor.js" */

export class ClassChanges {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./server.js").Server} server
   * @param {PromptEditor} editor
   * @param {import("./object_changes.js").ObjectChanges} objects
   * @param {import("./messages.js").Messages} messages
   */
  constructor(store, server, editor, objects, messages) {
    this.store = store;
    this.server = server;
    this.editor = editor;
    this.objects = objects;
    this.messages = messages;
  }

  /** @param {number} digit */
  useDigit(digit) {
    const id = this.store.classOfDigit(digit);
    if (id === null) this.messages.notice(`No class has the digit ${digit}. Give it to one in the list of classes.`);
    else this.use(id);
  }

  /**
   * Set the class of the selected object and of the next ones; without one, of the object that is being created, or of
   * the last one if it has none.
   *
   * @param {number | null} id
   * @param {string} [name] of a class that this window has not been sent yet
   */
  async use(id, name = id === null ? "none" : this.store.className(id)) {
    const { store } = this;
    const { creating, finished } = this.editor;
    store.currentClass = id;
    store.touch("classes");
    const object =
      store.object ?? (creating ? await this.createdObject(creating) : await this.objectWithoutClass(finished));
    this.messages.note(`Class of ${object === null ? "" : `${store.nameOf(object)} and `}the next objects: ${name}.`);
    if (object !== null) await this.objects.change(object, { class: id });
  }

  /** @param {FinishedObject | null} finished @returns {Promise<number | null>} the object, if it has no class */
  async objectWithoutClass(finished) {
    const object = finished && (await this.createdObject(finished));
    return this.store.objectOf(object)?.class === null ? object : null;
  }

  /** @param {FinishedObject} created @returns {Promise<number | null>} the object, once it exists, if it is shown */
  async createdObject(created) {
    await created.reply;
    const object = created.medium === this.store.medium ? created.object : null;
    for (let wait = 0; wait < 100 && object !== null && !this.store.objectOf(object); wait++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return object;
  }

  /** Remove a class after a question. @param {number} id */
  async remove(id) {
    const entry = this.store.classes.get(id);
    if (!entry) return;
    let users = 0;
    for (const objects of this.store.objects.values())
      for (const object of objects.values()) if (object.class === id) users++;
    const text = users
      ? `${counted(users, "object")} will have no class. Undo brings it back.`
      : "No object has this class.";
    if (await confirm({ title: `Delete the class ${entry.name}?`, text, confirm: "Delete" })) {
      await this.server.send("remove_class", { class: id });
    }
  }
}
