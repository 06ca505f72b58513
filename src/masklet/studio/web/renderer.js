/** Renderer: the textures and the program that draw an image with masks. Nothing is uploaded twice. */

import { equalSizes } from "./rle.js";
import { FRAGMENT_SHADER, VERTEX_SHADER } from "./shaders.js";

/** @import { Size } from "./rle.js" */
/** @import { Box } from "./transform.js" */
/** @typedef {[number, number, number]} Color Red, green, blue from 0 to 255. */
/** @typedef {{slot: number, color: Color, strength: number}} PaletteEntry `strength` multiplies opacities. */

/**
 * @typedef {object} View
 * @property {[number, number, number]} placement Left, top and scale of the image in pixels of the screen.
 * @property {Size} imageSize
 * @property {number} opacity Of fills.
 * @property {number} visibility Of all masks but the active one and the preview.
 * @property {Color} activeColor
 * @property {number} highlighted A slot.
 * @property {number} pixelRatio
 */

const PALETTE_WIDTH = 256;
const PALETTE_HEIGHT = 64;
const PREVIEW_COLOR = /** @type {Color} */ ([70, 170, 255]);

const SQUARES_FROM = 3; // screen pixels of one pixel of the image, from which it is drawn as a square
const MIPMAPS_BELOW = 0.7; // scale

const IMAGE_UNIT = 0;
const PART_UNIT = 1;
const LABEL_UNIT = 2;
const PALETTE_UNIT = 3;
const TILE_UNIT = 4;

export class Renderer {
  /** @param {HTMLCanvasElement} canvas @returns {Renderer | null} Null without WebGL 2. */
  static create(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, stencil: false });
    return gl && !gl.isContextLost() ? new Renderer(gl) : null;
  }

  /** @param {WebGL2RenderingContext} gl */
  constructor(gl) {
    this._gl = gl;
    this.maxSide = Number(gl.getParameter(gl.MAX_TEXTURE_SIZE));
    const program = link(gl);
    gl.useProgram(program);
    gl.bindVertexArray(gl.createVertexArray());
    /** @type {Map<string, WebGLUniformLocation | null>} */
    this._uniforms = new Map();
    for (let index = 0; index < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); index++) {
      const name = gl.getActiveUniform(program, index)?.name ?? "";
      this._uniforms.set(name, gl.getUniformLocation(program, name));
    }
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
    this._image = new ImageTexture(gl, IMAGE_UNIT);
    this._part = new ImageTexture(gl, PART_UNIT);
    /** @type {Box} */
    this._partBox = [0, 0, 0, 0];
    this._labels = new LabelTexture(gl, LABEL_UNIT);
    this._tiles = new LabelTexture(gl, TILE_UNIT);
    makeTexture(gl, PALETTE_UNIT, gl.NEAREST);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, PALETTE_WIDTH, PALETTE_HEIGHT);
    this._palette = new Uint8Array(PALETTE_WIDTH * PALETTE_HEIGHT * 4);
    const units = { image: IMAGE_UNIT, part: PART_UNIT, labels: LABEL_UNIT, palette: PALETTE_UNIT, tiles: TILE_UNIT };
    for (const [name, unit] of Object.entries(units)) gl.uniform1i(this._at(name), unit);
  }

  /** @param {ImageBitmap} source */
  setImage(source) {
    this._image.upload(source);
  }

  /** @param {ImageBitmap} source @param {Box} box In pixels of the image. */
  setPart(source, box) {
    this._part.upload(source);
    this._partBox = box;
  }

  removePart() {
    this._partBox = [0, 0, 0, 0];
  }

  /** Upload the part of the label map that has changed. @param {import("./label_map.js").LabelMap} labels */
  setLabels(labels) {
    const dirty = labels.takeDirty();
    if (!dirty) return;
    this._labels.upload(labels.data, [labels.height, labels.width], dirty.labels);
    this._tiles.upload(labels.tiles, [labels.tileRows, labels.tileColumns], dirty.tiles);
  }

  /** @param {PaletteEntry[]} entries */
  setPalette(entries) {
    const gl = this._gl;
    const used = entries.reduce((most, { slot }) => Math.max(most, slot), 0);
    for (const { slot, color, strength } of entries) this._palette.set([...color, Math.round(strength * 255)], slot * 4);
    gl.activeTexture(gl.TEXTURE0 + PALETTE_UNIT);
    const rows = Math.ceil((used + 1) / PALETTE_WIDTH);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, PALETTE_WIDTH, rows, gl.RGBA, gl.UNSIGNED_BYTE, this._palette);
  }

  /** @param {View} view */
  draw(view) {
    const gl = this._gl;
    const { drawingBufferWidth: width, drawingBufferHeight: height } = gl;
    gl.viewport(0, 0, width, height);
    this._image.prepare((view.placement[2] * view.imageSize[1]) / this._image.width);
    if (this._partBox[2] > 0) {
      this._part.prepare((view.placement[2] * (this._partBox[2] - this._partBox[0])) / this._part.width);
    }
    gl.uniform2f(this._at("viewSize"), width, height);
    gl.uniform3fv(this._at("placement"), view.placement);
    gl.uniform2f(this._at("imageSize"), view.imageSize[1], view.imageSize[0]);
    gl.uniform2f(this._at("labelSize"), this._labels.size[1], this._labels.size[0]);
    gl.uniform4fv(this._at("partBox"), this._partBox);
    gl.uniform1i(this._at("hasPart"), this._partBox[2] > 0 ? 1 : 0);
    gl.uniform3fv(this._at("activeColor"), view.activeColor.map((value) => value / 255));
    gl.uniform3fv(this._at("previewColor"), PREVIEW_COLOR.map((value) => value / 255));
    gl.uniform1f(this._at("opacity"), view.opacity);
    gl.uniform1f(this._at("visibility"), view.visibility);
    gl.uniform1f(this._at("radius"), view.pixelRatio);
    gl.uniform1f(this._at("dash"), 5 * view.pixelRatio);
    gl.uniform1ui(this._at("highlighted"), view.highlighted);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** @param {string} name */
  _at(name) {
    return this._uniforms.get(name) ?? null;
  }
}

/** A texture of labels, of which rectangles are replaced. */
class LabelTexture {
  /** @param {WebGL2RenderingContext} gl @param {number} unit */
  constructor(gl, unit) {
    this._gl = gl;
    this._unit = unit;
    /** @type {WebGLTexture | null} */
    this._texture = null;
    this.size = /** @type {Size} */ ([0, 0]);
    this._resize([1, 1]);
  }

  /**
   * @param {Uint16Array} data Values in rows.
   * @param {Size} size Of the data.
   * @param {{x: number, y: number, width: number, height: number}} changed
   */
  upload(data, size, changed) {
    const gl = this._gl;
    gl.activeTexture(gl.TEXTURE0 + this._unit);
    let { x, y, width, height } = changed;
    if (!equalSizes(this.size, size)) {
      this._resize(size);
      [x, y, width, height] = [0, 0, size[1], size[0]];
    }
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, size[1]);
    const first = y * size[1] + x;
    gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y, width, height, gl.RED_INTEGER, gl.UNSIGNED_SHORT, data, first);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, 0);
  }

  /** @param {Size} size */
  _resize(size) {
    const gl = this._gl;
    gl.deleteTexture(this._texture);
    this._texture = makeTexture(gl, this._unit, gl.NEAREST);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16UI, size[1], size[0]);
    this.size = size;
  }
}

/** A texture of an image, which is replaced by images of the same size without allocation. */
class ImageTexture {
  /** @param {WebGL2RenderingContext} gl @param {number} unit */
  constructor(gl, unit) {
    this._gl = gl;
    this._unit = unit;
    this._texture = makeTexture(gl, unit, gl.LINEAR);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, 1, 1);
    this.width = 1;
    this.height = 1;
    this._hasMipmaps = false;
  }

  /** @param {ImageBitmap} source */
  upload(source) {
    const gl = this._gl;
    const { width, height } = source;
    if (!width || !height) return; // a bitmap that was closed
    gl.activeTexture(gl.TEXTURE0 + this._unit);
    if (width !== this.width || height !== this.height) {
      gl.deleteTexture(this._texture);
      this._texture = makeTexture(gl, this._unit, gl.LINEAR);
      gl.texStorage2D(gl.TEXTURE_2D, 1 + Math.floor(Math.log2(Math.max(width, height))), gl.RGBA8, width, height);
      this.width = width;
      this.height = height;
    }
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, gl.RGBA, gl.UNSIGNED_BYTE, source);
    this._hasMipmaps = false;
  }

  /**
   * Select the filters for a scale. Mipmaps are made when they are first needed.
   *
   * @param {number} scale Screen pixels per pixel of the texture.
   */
  prepare(scale) {
    const gl = this._gl;
    gl.activeTexture(gl.TEXTURE0 + this._unit);
    const small = scale < MIPMAPS_BELOW;
    if (small && !this._hasMipmaps) {
      gl.generateMipmap(gl.TEXTURE_2D);
      this._hasMipmaps = true;
    }
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, small ? gl.LINEAR_MIPMAP_LINEAR : gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, scale >= SQUARES_FROM ? gl.NEAREST : gl.LINEAR);
  }
}

/** @param {WebGL2RenderingContext} gl @param {number} unit @param {number} filter */
function makeTexture(gl, unit, filter) {
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return texture;
}

/** @param {WebGL2RenderingContext} gl */
function link(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of /** @type {[number, string][]} */ ([
    [gl.VERTEX_SHADER, VERTEX_SHADER],
    [gl.FRAGMENT_SHADER, FRAGMENT_SHADER],
  ])) {
    const shader = gl.createShader(kind);
    if (!shader) continue;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = (gl.getAttachedShaders(program) ?? []).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The shaders cannot be compiled: ${[...logs, gl.getProgramInfoLog(program)].join(" ")}`);
  }
  return program;
}
