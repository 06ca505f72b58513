/** Runs of masks: the lengths of alternating runs of background and object, in rows, background first. */

/** A size as [height, width] in pixels. @typedef {readonly [number, number]} Size */

/** @param {Size} left @param {Size} right */
export function equalSizes(left, right) {
  return left[0] === right[0] && left[1] === right[1];
}

/**
 * @param {Uint32Array} runs Lengths of runs, background first. Runs beyond the last pixel are ignored.
 * @param {number} height
 * @param {number} width
 * @returns {Uint8Array} height × width values in rows, 1 where the object is.
 */
export function decodeRuns(runs, height, width) {
  const mask = new Uint8Array(height * width);
  forEachRun(runs, (start, end) => mask.fill(1, start, end));
  return mask;
}

/**
 * @param {ArrayLike<number>} mask height × width integers in rows; the object is where they have one of `bits`.
 * @param {number} height
 * @param {number} width
 * @param {number} [bits] By default all.
 * @returns {Uint32Array} Runs that end with the last pixel.
 */
export function encodeRuns(mask, height, width, bits = -1) {
  const pixels = height * width;
  const runs = [];
  let start = 0;
  let inside = false;
  for (let index = 0; index < pixels; index++) {
    if (((mask[index] & bits) !== 0) === inside) continue;
    runs.push(index - start);
    start = index;
    inside = !inside;
  }
  runs.push(pixels - start);
  return Uint32Array.from(runs);
}

/**
 * Call a function with the first pixel of each run of the object, and the pixel after the last.
 *
 * @param {Uint32Array} runs
 * @param {(start: number, end: number) => void} visit
 */
export function forEachRun(runs, visit) {
  let position = 0;
  for (let index = 0; index < runs.length; index++) {
    const end = position + runs[index];
    if (index % 2 === 1 && end > position) visit(position, end);
    position = end;
  }
}

/** Count the pixels of a mask. @param {Uint32Array} runs @returns {number} */
export function countPixels(runs) {
  let count = 0;
  for (let index = 1; index < runs.length; index += 2) count += runs[index];
  return count;
}

/** @param {Uint32Array} left @param {Uint32Array} right @returns {boolean} */
export function equalRuns(left, right) {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

/** Add the runs. @param {Record<string, any>[]} masks @param {ArrayBuffer} payload @returns {any[]} */
export function splitRuns(masks, payload) {
  let start = 0;
  return masks.map((mask) => {
    const runs = new Uint32Array(payload, start, mask.runs);
    start += 4 * mask.runs;
    return { ...mask, runs };
  });
}
