/**
 * Shaders: the program that draws the image, a sharper part of it, and the label map in one pass.
 *
 * Every pixel of the screen reads the label map at its place and at eight places around it. An outline is where they differ.
 * Where the surroundings have one label, which a smaller texture says, one place is read.
 */

import { TILE } from "./label_map.js";

export const VERTEX_SHADER = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

export const FRAGMENT_SHADER = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;

uniform sampler2D image;
uniform sampler2D part;       // a sharper copy of a part of the image
uniform usampler2D labels;
uniform usampler2D tiles;     // the label of squares of the map whose surroundings have one label
uniform sampler2D palette;    // color and strength of each slot
uniform vec2 viewSize;        // pixels of the screen
uniform vec3 placement;       // left, top, scale
uniform vec2 imageSize;       // pixels of the image
uniform vec2 labelSize;       // pixels of the label map
uniform vec4 partBox;         // left, top, right, bottom in pixels of the image
uniform bool hasPart;
uniform vec3 activeColor;
uniform vec3 previewColor;
uniform float opacity;        // of fills
uniform float visibility;     // of all masks but the active one and the preview
uniform float radius;         // of outlines, in pixels of the screen
uniform float dash;           // length of a dash, in pixels of the screen
uniform uint highlighted;     // a slot
out vec4 color;

const uint SLOT = 0x3fffu;
const uint ACTIVE = 0x4000u;
const uint PREVIEW = 0x8000u;
const uint MIXED = 0xffffu;
const float TILE = ${TILE}.0;
const vec2 AROUND[8] = vec2[8](
  vec2(1.0, 0.0), vec2(0.7071, 0.7071), vec2(0.0, 1.0), vec2(-0.7071, 0.7071),
  vec2(-1.0, 0.0), vec2(-0.7071, -0.7071), vec2(0.0, -1.0), vec2(0.7071, -0.7071)
);

uint labelAt(vec2 texel) {
  if (any(lessThan(texel, vec2(0.0))) || any(greaterThanEqual(texel, labelSize))) return 0u;
  return texelFetch(labels, ivec2(texel), 0).r;
}

vec4 slotColor(uint slot) {
  return texelFetch(palette, ivec2(int(slot & 255u), int(slot >> 8u)), 0);
}

vec3 fill(vec3 base, uint label) {
  if ((label & ACTIVE) != 0u) base = mix(base, activeColor, opacity);
  else if ((label & SLOT) != 0u) {
    vec4 own = slotColor(label & SLOT);
    float strength = opacity * own.a;
    if ((label & SLOT) == highlighted) strength = max(0.45, min(0.85, strength * 1.6));
    base = mix(base, own.rgb, visibility * strength);
  }
  return (label & PREVIEW) != 0u ? mix(base, previewColor, opacity * 0.6) : base;
}

void main() {
  vec2 screen = vec2(gl_FragCoord.x, viewSize.y - gl_FragCoord.y);
  vec2 position = (screen - placement.xy) / placement.z;
  vec3 base = texture(image, position / imageSize).rgb;
  if (hasPart) {
    vec3 sharp = texture(part, (position - partBox.xy) / (partBox.zw - partBox.xy)).rgb;
    if (all(greaterThanEqual(position, partBox.xy)) && all(lessThan(position, partBox.zw))) base = sharp;
  }
  vec2 texel = position * labelSize / imageSize;
  vec2 reach = radius / placement.z * labelSize / imageSize;
  if (any(lessThan(texel, -reach)) || any(greaterThan(texel, labelSize + reach))) {
    color = vec4(0.0); // the page shows through
    return;
  }
  bool inImage = all(greaterThanEqual(texel, vec2(0.0))) && all(lessThan(texel, labelSize));
  uint tile = inImage && max(reach.x, reach.y) <= TILE ? texelFetch(tiles, ivec2(texel / TILE), 0).r : MIXED;
  uint center = tile != MIXED ? tile : labelAt(texel);
  uint slot = center & SLOT;
  uint neighbor = 0u;
  int otherEdges = 0, activeEdges = 0, previewEdges = 0;
  // Software renderers skip loops, but not branches.
  int places = tile == MIXED ? 8 : 0;
  for (int index = 0; index < places; index++) {
    uint value = labelAt(texel + reach * AROUND[index]);
    uint change = value ^ center;
    otherEdges += (change & SLOT) != 0u ? 1 : 0;
    activeEdges += (change & ACTIVE) != 0u ? 1 : 0;
    previewEdges += (change & PREVIEW) != 0u ? 1 : 0;
    neighbor = max(neighbor, value & SLOT);
  }
  vec3 result = fill(base, center);
  float cover = inImage ? 1.0 : 0.0;
  bool isActive = (center & ACTIVE) != 0u;
  if (otherEdges > 0 && !isActive) {
    vec4 line = slotColor(slot != 0u ? slot : neighbor);
    float strength = visibility * min(1.0, 0.25 + 0.25 * float(otherEdges)) * line.a;
    result = mix(result, line.rgb, strength);
    cover = max(cover, strength);
  }
  if (activeEdges > 0) {
    vec3 line = isActive ? mix(activeColor, vec3(1.0), 0.8) : activeColor * 0.75;
    result = mix(result, line, min(1.0, 0.4 + 0.2 * float(activeEdges)));
    cover = 1.0;
  }
  if (previewEdges > 0) {
    bool on = mod(screen.x + screen.y, 2.0 * dash) < dash;
    result = mix(result, on ? vec3(1.0) : previewColor * 0.6, min(1.0, 0.4 + 0.2 * float(previewEdges)));
    cover = 1.0;
  }
  color = vec4(result * cover, cover);
}`;
