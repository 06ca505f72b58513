/**
 * Shaders: the program that draws the image, a sharper part of it, and the label map in one pass.
 *
 * Every pixel of the screen reads the label map at its place and at eight places around it. An outline is where they differ,
 * so its width is that of the screen's pixels at any zoom, and the number of objects has no influence on the time.
 *
 * @module
 */

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
uniform sampler2D palette;    // color and strength of each slot
uniform vec2 viewSize;        // pixels of the screen
uniform vec3 placement;       // left, top, scale
uniform vec2 imageSize;       // pixels of the image
uniform vec2 labelSize;       // pixels of the label map
uniform vec4 partBox;         // left, top, right, bottom in pixels of the image
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

uint labelAt(vec2 position) {
  if (any(lessThan(position, vec2(0.0))) || any(greaterThanEqual(position, imageSize))) return 0u;
  return texelFetch(labels, ivec2(position * labelSize / imageSize), 0).r;
}

vec4 slotColor(uint slot) {
  return texelFetch(palette, ivec2(int(slot & 255u), int(slot >> 8u)), 0);
}

void main() {
  vec2 screen = vec2(gl_FragCoord.x, viewSize.y - gl_FragCoord.y);
  vec2 position = (screen - placement.xy) / placement.z;
  vec3 base = texture(image, position / imageSize).rgb;
  vec3 sharp = texture(part, (position - partBox.xy) / max(partBox.zw - partBox.xy, vec2(1.0))).rgb;
  bool inPart = all(greaterThanEqual(position, partBox.xy)) && all(lessThan(position, partBox.zw));
  bool inImage = all(greaterThanEqual(position, vec2(0.0))) && all(lessThan(position, imageSize));
  vec3 result = inPart ? sharp : base;

  float reach = radius / placement.z;
  if (any(lessThan(position, vec2(-reach))) || any(greaterThan(position, imageSize + reach))) {
    color = vec4(0.0); // the page shows through
    return;
  }
  float cover = inImage ? 1.0 : 0.0;
  uint center = labelAt(position);
  uint slot = center & SLOT;
  uint neighbor = 0u;
  int otherEdges = 0, activeEdges = 0, previewEdges = 0;
  for (int index = 0; index < 8; index++) {
    float angle = float(index) * 0.78539816;
    uint value = labelAt(position + reach * vec2(cos(angle), sin(angle)));
    otherEdges += (value & SLOT) != slot ? 1 : 0;
    activeEdges += (value & ACTIVE) != (center & ACTIVE) ? 1 : 0;
    previewEdges += (value & PREVIEW) != (center & PREVIEW) ? 1 : 0;
    neighbor = max(neighbor, value & SLOT);
  }
  bool isActive = (center & ACTIVE) != 0u;
  bool isPreview = (center & PREVIEW) != 0u;

  if (!isActive && visibility > 0.0) {
    vec4 own = slotColor(slot);
    bool bright = slot != 0u && slot == highlighted;
    float fill = slot == 0u ? 0.0 : opacity * own.a;
    result = mix(result, own.rgb, visibility * (bright ? max(0.45, min(0.85, fill * 1.6)) : fill));
    if (otherEdges > 0) {
      vec4 line = slot != 0u ? own : slotColor(neighbor);
      float strength = min(1.0, 0.25 + 0.25 * float(otherEdges)) * line.a;
      result = mix(result, line.rgb, visibility * strength);
      cover = max(cover, visibility * strength);
    }
  }
  if (isActive) result = mix(result, activeColor, opacity);
  if (activeEdges > 0) {
    cover = 1.0;
    vec3 line = isActive ? mix(activeColor, vec3(1.0), 0.8) : activeColor * 0.75;
    result = mix(result, line, min(1.0, 0.4 + 0.2 * float(activeEdges)));
  }
  if (isPreview) result = mix(result, previewColor, opacity * 0.6);
  if (previewEdges > 0) {
    cover = 1.0;
    bool on = mod(screen.x + screen.y, 2.0 * dash) < dash;
    result = mix(result, on ? vec3(1.0) : previewColor * 0.6, min(1.0, 0.4 + 0.2 * float(previewEdges)));
  }
  color = vec4(result * cover, cover);
}`;
