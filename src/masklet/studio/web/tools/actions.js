/**
 * Actions: what the drawing area asks of the page. Coordinates are pixels of the image, (x, y) from its top-left corner.
 *
 * All methods may return a promise, for which hover requests and painted masks wait.
 */

/** A vertex or point, (x, y). @typedef {[number, number]} Position */

/** Vertices in order; the last one is joined to the first. @typedef {Position[]} Polygon */

/**
 * @typedef {object} Actions
 * @property {(x: number, y: number, positive: boolean) => unknown} click Add a point to the active object's prompt.
 * @property {(x0: number, y0: number, x1: number, y1: number, add: boolean) => unknown} box Set the box of the prompt.
 *   Points stay if `add`, else the box replaces the whole prompt.
 * @property {() => unknown} deleteBox Points stay.
 * @property {(index: number, x: number, y: number) => unknown} movePoint
 * @property {(index: number) => unknown} deletePoint
 * @property {(x: number, y: number) => unknown} hover Preview the result of a positive click. Called at most every 40 ms,
 *   and not while the promise of the last call is pending.
 * @property {() => unknown} hoverEnd Remove the preview: the cursor has left the image, or a button is pressed.
 * @property {(runs: Uint32Array, size: import("../rle.js").Size) => unknown} paint Replace the mask of the active object;
 *   a new object if none is active. The painted mask stays on the screen until `setMasks` follows the promise.
 * @property {(polygons: Polygon[]) => unknown} setPolygons Replace the mask of the active object by polygons.
 * @property {(object: number | null) => unknown} pick Select an object, or none.
 * @property {(index: number) => unknown} takeProposal Turn a proposal into an object.
 */

export {};
