/** Emitter: named events with listeners. */

export class Emitter {
  constructor() {
    /** @type {Map<string, Set<(detail: any) => void>>} */
    this._listeners = new Map();
  }

  /**
   * @param {string} name
   * @param {(detail: any) => void} listener
   * @returns {() => void} A function that removes the listener.
   */
  on(name, listener) {
    const listeners = this._listeners.get(name) ?? new Set();
    this._listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** @param {string} name @param {unknown} [detail] */
  emit(name, detail) {
    for (const listener of this._listeners.get(name) ?? []) listener(detail);
  }
}
