/** Cells of a timeline: what a byte says, and how several cells share one column of pixels. */

/** @typedef {"nothing" | "tracked" | "prompted" | "edited" | "absent" | "imported" | "proposed" | "hidden"} CellState */

/** @type {CellState[]} */
const STATES = ["nothing", "tracked", "prompted", "edited", "absent", "imported", "proposed", "hidden"];

/** Tracked cells below this score are marked. */
const LOW_SCORE = 0.5;

const TRACKED = 1;
const HIDDEN = 7;
// Of cells that share a column, the most important one is shown: what the user did, then what needs attention.
const RANK = [0, 3, 8, 7, 4, 6, 5, 2];
const LOW_RANK = 5.5;

/** @param {number} byte @returns {{state: CellState, accepted: boolean, score: number}} */
export function readCell(byte) {
  return { state: STATES[byte & 7], accepted: (byte & 8) !== 0, score: (byte >> 4) / 15 };
}

/** @param {number} byte @returns {boolean} whether the mask is tracked with a low score and nobody accepted it */
export function isLow(byte) {
  return (byte & 7) === TRACKED && (byte & 8) === 0 && (byte >> 4) / 15 < LOW_SCORE;
}

/** @param {number} byte @returns {boolean} whether tracking starts from the cell */
export function isAnnotated(byte) {
  const state = byte & 7;
  return state !== 0 && state !== TRACKED && state !== HIDDEN;
}

/** @param {number} byte */
function rank(byte) {
  return isLow(byte) ? LOW_RANK : RANK[byte & 7];
}

/**
 * Choose one byte for each column of pixels. It is accepted only if all cells with a mask in the column are.
 *
 * @param {Uint8Array} bytes one per frame
 * @param {number} start first frame that is visible; may be a fraction
 * @param {number} span visible frames
 * @param {number} columns
 * @returns {Uint8Array}
 */
export function aggregate(bytes, start, span, columns) {
  const result = new Uint8Array(columns);
  for (let column = 0; column < columns; column++) {
    const first = Math.floor(start + (column * span) / columns);
    const last = Math.max(first + 1, Math.floor(start + ((column + 1) * span) / columns));
    let best = 0;
    let accepted = 8;
    for (let frame = Math.max(0, first); frame < Math.min(last, bytes.length); frame++) {
      const byte = bytes[frame];
      if (byte & 7) accepted &= byte;
      if (rank(byte) > rank(best) || (rank(byte) === rank(best) && byte >> 4 < best >> 4)) best = byte;
    }
    result[column] = best & 7 ? (best & ~8) | accepted : best;
  }
  return result;
}

/** @param {number} byte @returns {string} the state of a cell in words */
export function describeCell(byte) {
  const { state, accepted, score } = readCell(byte);
  if (state === "nothing") return "no mask";
  if (state === "hidden") return accepted ? "tracked, not visible, accepted" : "tracked, not visible";
  const parts = [state === "absent" ? "marked as absent" : state];
  if (state === "tracked") parts.push(`score ${score.toFixed(2)}`);
  if (isLow(byte)) parts.push("low");
  if (accepted) parts.push("accepted");
  return parts.join(", ");
}

/** @param {Iterable<Uint8Array>} lanes @returns {{annotated: number, tracked: number, accepted: number, low: number}} */
export function countCells(lanes) {
  const counts = { annotated: 0, tracked: 0, accepted: 0, low: 0 };
  for (const bytes of lanes)
    for (const byte of bytes) {
      if (isAnnotated(byte)) counts.annotated++;
      if ((byte & 7) === TRACKED || (byte & 7) === HIDDEN) counts.tracked++;
      if (byte & 7 && byte & 8) counts.accepted++;
      if (isLow(byte)) counts.low++;
    }
  return counts;
}
