// The page of SegmentWidget, as anywidget loads it. The model's traits are the state: this file draws them, and turns
// pointer and keys into actions, which it appends to the trait `_actions`.

const DRAG_PX = 5; // on the screen; a shorter drag is a click
const MARK_PX = 6; // radius of a click on the screen
const SVG = "http://www.w3.org/2000/svg";

function create(parent, tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

function draw(parent, tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

// The clicks and boxes that count: a box replaces the object's earlier box, "clear" removes all of the object's.
function listMarks(actions) {
  let marks = [];
  for (const action of actions) {
    const replaced = action.kind === "click" ? [] : action.kind === "box" ? ["box"] : ["box", "click"];
    marks = marks.filter((mark) => mark.object !== action.object || !replaced.includes(mark.kind));
    if (action.kind !== "clear") marks.push(action);
  }
  return marks;
}

// Shows the bytes of an image file in an <img>, and frees those that it showed before.
function showFile(image, bytes, type) {
  if (image.src) URL.revokeObjectURL(image.src);
  if (bytes?.byteLength) image.src = URL.createObjectURL(new Blob([bytes], { type }));
}

function render({ model, el }) {
  const root = create(el, "div", { class: "masklet-segment", tabindex: "0" });
  const bar = create(root, "div", { class: "masklet-bar", role: "toolbar", "aria-label": "Objects" });
  const stage = create(root, "div", { class: "masklet-stage" });
  const image = create(stage, "img", { alt: "Image to click on", draggable: "false" });
  const layer = create(stage, "img", { alt: "", class: "masklet-layer", draggable: "false" });
  const marks = draw(stage, "svg", { class: "masklet-marks", preserveAspectRatio: "none" });
  const help = "Click: add · Right click or Shift: exclude · Drag: box · N: new object · Ctrl+Z: undo";
  create(root, "div", { class: "masklet-help" }, help);
  const message = create(root, "div", { class: "masklet-message", role: "status" });
  let drag = null;

  const save = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const actions = () => model.get("_actions");
  const act = (kind, xy = [], positive = true) =>
    save("_actions", [...actions(), { kind, object: model.get("object_id"), xy, positive }]);
  const undo = () => actions().length && save("_actions", actions().slice(0, -1));
  const startObject = () =>
    save("object_id", Math.max(0, ...actions().map((action) => action.object)) + 1);

  function drawBar() {
    bar.replaceChildren();
    for (const { id, color, name } of model.get("_objects")) {
      const pressed = String(id === model.get("object_id"));
      const button = create(bar, "button", { type: "button", "aria-pressed": pressed, "data-object": id }, name || `Object ${id}`);
      button.style.setProperty("--object-color", color);
      button.addEventListener("click", () => save("object_id", id));
    }
    const buttons = [["New object", startObject], ["Undo", undo], ["Clear object", () => act("clear")]];
    for (const [text, run] of buttons) create(bar, "button", { type: "button", class: "masklet-tool" }, text).addEventListener("click", run);
  }

  function drawMarks() {
    const [width, height] = model.get("_size");
    const pixel = width / (stage.getBoundingClientRect().width || width); // pixels of the image in one of the screen
    const colors = new Map(model.get("_objects").map(({ id, color }) => [id, color]));
    marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    marks.replaceChildren();
    for (const { kind, object, xy, positive } of [...listMarks(actions()), ...(drag?.box ? [drag.box] : [])]) {
      const line = { stroke: "white", "stroke-width": 2 * pixel };
      if (kind === "box") {
        const [x0, y0, x1, y1] = xy;
        const stroke = colors.get(object) ?? "white";
        draw(marks, "rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, fill: "none", ...line, stroke });
      } else {
        const [x, y] = xy;
        const fill = positive ? colors.get(object) ?? "white" : "#d00000";
        draw(marks, "circle", { cx: x, cy: y, r: MARK_PX * pixel, fill, ...line, "data-positive": positive });
        const arm = MARK_PX * pixel * 0.6;
        draw(marks, "path", { d: `M${x - arm} ${y}H${x + arm}` + (positive ? `M${x} ${y - arm}V${y + arm}` : ""), ...line });
      }
    }
  }

  const showState = () => {
    stage.classList.toggle("masklet-busy", model.get("_finished") !== actions().length);
    message.textContent = model.get("_message");
  };
  const draws = {
    _image: () => showFile(image, model.get("_image"), "image/jpeg"),
    _layer: () => showFile(layer, model.get("_layer"), "image/png"),
    _objects: () => (drawBar(), drawMarks()),
    _size: drawMarks,
    _actions: () => (drawMarks(), showState()),
    object_id: drawBar,
    _finished: showState,
    _message: showState,
  };

  // Position of the pointer in pixels of the image.
  function locate(event) {
    const [width, height] = model.get("_size");
    const { left, top, width: shownWidth, height: shownHeight } = stage.getBoundingClientRect();
    const clip = (share, length) => Math.min(Math.max(share, 0), 1) * length;
    return [clip((event.clientX - left) / shownWidth, width), clip((event.clientY - top) / shownHeight, height)];
  }

  function cancel() {
    drag = null;
    drawMarks();
  }

  stage.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    event.stopPropagation();
  });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button === 1 || drag) return;
    root.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    const exclude = event.button === 2 || event.shiftKey;
    drag = { start: locate(event), screen: [event.clientX, event.clientY], exclude, box: null };
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag || drag.exclude) return;
    const distance = Math.hypot(event.clientX - drag.screen[0], event.clientY - drag.screen[1]);
    if (distance < DRAG_PX && !drag.box) return;
    const [x, y] = locate(event);
    const [x0, y0] = drag.start;
    const xy = [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
    drag.box = { kind: "box", object: model.get("object_id"), xy };
    drawMarks();
  });
  stage.addEventListener("pointerup", () => {
    if (!drag) return;
    const { start, exclude, box } = drag;
    drag = null;
    if (!box) act("click", start, !exclude);
    else if (box.xy[0] < box.xy[2] && box.xy[1] < box.xy[3]) act("box", box.xy);
    else drawMarks();
  });
  stage.addEventListener("pointercancel", cancel);
  root.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const command = event.ctrlKey || event.metaKey;
    if (key === "z" && command && !event.shiftKey) undo();
    else if (key === "n" && !command && !event.altKey) startObject();
    else if (key === "escape" && drag) cancel();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  for (const [name, show] of Object.entries(draws)) {
    model.on(`change:${name}`, show);
    show();
  }
  const observer = new ResizeObserver(drawMarks);
  observer.observe(stage);
  return () => {
    observer.disconnect();
    for (const [name, show] of Object.entries(draws)) model.off(`change:${name}`, show);
    for (const shown of [image, layer]) URL.revokeObjectURL(shown.src);
  };
}

export default { render };
