/** Icons: strokes on a grid of 20 × 20 units. */

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} */
const PATHS = {
  accept: "M4 10.5l4 4 8-9",
  acceptRange: "M2 10.5l3.5 3.5 6-7.5M9.5 14l1 .5 7-9",
  add: "M10 4v12M4 10h12",
  backward: "M16 10H5m4.5-4.5L5 10l4.5 4.5",
  both: "M6.5 6.5L3 10l3.5 3.5M13.5 6.5L17 10l-3.5 3.5M3 10h14",
  brush:
    "M16.5 3.5c-3 1-7 5-8.5 7.5l1.5 1.5c2.5-1.5 6.5-5.5 7.5-8.5zM7 12c-2 0-2.5 1.5-2.5 3-.5.8-1.5 1-1.5 1 1.5 1 5.5.8 5.5-2.5z",
  check: "M3.5 3.5h13v13h-13zM6.5 10l2.5 2.7 4.5-5.4",
  chevron: "M6 8l4 4 4-4",
  close: "M5 5l10 10M15 5L5 15",
  copy: "M7 7h9v9H7zM4 13V4h9",
  eraser: "M8 16.5h8.5M4 12.5l7.5-8 5 4.5-7 7.5H7zM7.5 8.7l5 4.6",
  edit: "M4 16l.8-3.6L13 4.2 15.8 7 7.6 15.2zM11.5 5.7l2.8 2.8",
  export: "M10 3v9M6.5 6.5L10 3l3.5 3.5M4 11v5.5h12V11",
  eye: "M2 10c2-3.5 5-5 8-5s6 1.5 8 5c-2 3.5-5 5-8 5s-6-1.5-8-5zM10 7.7a2.3 2.3 0 110 4.6 2.3 2.3 0 010-4.6z",
  eyeOff:
    "M3 3l14 14M8 5.3c3.8-.9 7.5.8 10 4.7-.7 1.1-1.5 2-2.4 2.8M12.5 14.5c-4 1.3-7.9-.6-10.5-4.5.8-1.2 1.7-2.2 2.7-3",
  first: "M5 4.5v11M15.5 4.5L8 10l7.5 5.5z",
  fit: "M3.5 7V3.5H7M13 3.5h3.5V7M16.5 13v3.5H13M7 16.5H3.5V13",
  forward: "M4 10h11m-4.5-4.5L15 10l-4.5 4.5",
  gear: "M10 7a3 3 0 110 6 3 3 0 010-6zM10 2.5v2.2M10 15.3v2.2M2.5 10h2.2M15.3 10h2.2M4.7 4.7l1.5 1.5M13.8 13.8l1.5 1.5M4.7 15.3l1.5-1.5M13.8 6.2l1.5-1.5",
  help: "M7.3 7.3c.2-1.6 1.3-2.5 2.8-2.5 1.6 0 2.7 1 2.7 2.4 0 2-2.7 2.2-2.7 4.4M10 14.5v.9",
  import: "M10 12V3M6.5 8.5L10 12l3.5-3.5M4 11v5.5h12V11",
  last: "M15 4.5v11M4.5 4.5L12 10l-7.5 5.5z",
  lock: "M4.5 9h11v7.5h-11zM7 9V6.5a3 3 0 016 0V9",
  unlock: "M4.5 9h11v7.5h-11zM7 9V6.5a3 3 0 015.7-1.3",
  menu: "M3 5.5h14M3 10h14M3 14.5h14",
  minus: "M4 10h12",
  more: "M4.5 9.2v1.6M10 9.2v1.6M15.5 9.2v1.6",
  next: "M7 4.5l6 5.5-6 5.5",
  none: "M4 10a6 6 0 1112 0 6 6 0 01-12 0zM5.8 14.2l8.4-8.4",
  panel: "M3 4h14v12H3zM12.5 4v12",
  pause: "M6.5 4.5v11M13.5 4.5v11",
  play: "M6 4l10 6-10 6z",
  point: "M10 3v4M10 13v4M3 10h4M13 10h4M10 8.7a1.3 1.3 0 110 2.6 1.3 1.3 0 010-2.6z",
  polygon: "M4 7l7-3.5 6 6-4 7-8-2zM4 7h.01M11 3.5h.01",
  previous: "M13 4.5L7 10l6 5.5",
  proposals: "M3 6.5a3.5 3.5 0 117 0 3.5 3.5 0 01-7 0zM12 3.5h5v5h-5zM4 12.5h5v4.5H4zM11 14.7l3-3.2 3.5 3.2-3 2.8z",
  range: "M4 4v12M16 4v12M6.5 10h7M8.5 8l-2 2 2 2M11.5 8l2 2-2 2",
  redo: "M16 5v4.5h-4.5M16 9.5C14 6 10.5 5 8 6.2 4 8 4 13.5 8 15.5",
  remove: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  retrack: "M15.5 6.5A6.5 6.5 0 1016.5 10M16 3v4h-4",
  review: "M9 4a5 5 0 110 10 5 5 0 010-10zM12.7 12.7L17 17M9 6.8v2.7M9 11.3v.2",
  reviewBack: "M11 4a5 5 0 100 10 5 5 0 000-10zM7.3 12.7L3 17M11 6.8v2.7M11 11.3v.2",
  select: "M5 3l10.5 7-5 1-2.5 5z",
  solo: "M10 3.5a6.5 6.5 0 110 13 6.5 6.5 0 010-13zM10 8a2 2 0 110 4 2 2 0 010-4z",
  statistics: "M4 16.5V11M8 16.5V4M12 16.5V8M16 16.5v-5M2.5 16.5h15",
  stop: "M5.5 5.5h9v9h-9z",
  theme: "M10 3.5a6.5 6.5 0 110 13zM10 3.5a6.5 6.5 0 100 13",
  video: "M3 5.5h9.5v9H3zM12.5 9l4.5-2.5v7L12.5 11",
  undo: "M4 5v4.5h4.5M4 9.5C6 6 9.5 5 12 6.2c4 1.8 4 7.3 0 9.3",
  warning: "M10 3.5l7.5 13h-15zM10 8.5v4M10 14.3v.5",
};

const FILLED = new Set(["play", "stop", "first", "last", "select"]);

/** @param {string} name @returns {SVGElement} an icon that assistive technology ignores */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", FILLED.has(name) ? "icon filled" : "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] || PATHS.none);
  svg.append(path);
  return svg;
}
