/** Classes panel: names, colors, digits, attributes. */

import { button, labelled, newId, spacer } from "../controls.js";
import { focusCanvas, openDialog } from "../dialogs.js";
import { append, h, inNextFrame, rovingFocus, setText, span, updateList } from "../dom.js";
import { createSection } from "./section.js";

/** @import { App } from "../app.js" */
/** @import { ObjectClass } from "../store.js" */

const DIGITS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const COLORS = "#e6194b #3cb44b #4363d8 #f58231 #911eb4 #42d4f4 #f032e6 #9a6324 #469990 #808000".split(" ");

/** @param {App} app @param {HTMLElement} parent */
export function createClasses(app, parent) {
  const { store } = app;
  const add = button({ icon: "add", label: "Add a class", onclick: () => editClass(app, null) });
  const { root, body } = createSection("classes", "Classes", [add]);
  body.classList.remove("body");
  const list = h("ul", { class: "list", "aria-label": "Classes" });
  const empty = h("p", { class: "empty" }, "Add classes to name what you segment. The digits 1 to 9 select them.");
  append(body, list, empty);
  parent.append(root);
  rovingFocus(list, ".main");

  function draw() {
    const ids = [...store.classes.keys()].sort((a, b) => order(a) - order(b) || a - b);
    empty.hidden = ids.length > 0;
    updateList(list, ids, String, createRow, updateRow);
    const mains = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".main")]);
    if (mains.length && !mains.some((main) => main.tabIndex === 0)) mains[0].tabIndex = 0;
  }

  /** @param {number} id */
  function order(id) {
    return store.classes.get(id)?.digit ?? 10;
  }

  /** @param {number} id */
  function createRow(id) {
    return h(
      "li",
      { class: "item" },
      h(
        "button",
        {
          type: "button",
          class: "main",
          tabindex: "-1",
          onclick: () => choose(id),
          ondblclick: () => editClass(app, id),
        },
        h("kbd", { class: "digit" }),
        span("swatch"),
        span("name"),
        spacer(),
        span("sign", "new objects"),
        span("note"),
      ),
      button({ icon: "gear", label: "Edit", class: "quiet", onclick: () => editClass(app, id) }),
    );
  }

  /** @param {number} id */
  function choose(id) {
    app.classes.use(store.object === null && store.currentClass === id ? null : id);
  }

  /** @param {HTMLElement} row @param {number} id */
  function updateRow(row, id) {
    const entry = /** @type {ObjectClass} */ (store.classes.get(id));
    const ofNext = id === store.currentClass;
    const current = store.selected ? store.selected.class === id : ofNext;
    row.classList.toggle("selected", store.selected?.class === id);
    const main = /** @type {HTMLElement} */ (row.querySelector(".main"));
    main.setAttribute("aria-pressed", String(current));
    main.title = store.selected ? "Use for the selected object and new ones" : "Use for new objects";
    const [digit, swatch, name, sign, note] = /** @type {HTMLElement[]} */ ([
      ...row.querySelectorAll(".digit, .swatch, .name, .sign, .note"),
    ]);
    sign.hidden = !ofNext;
    setText(digit, entry.digit === null ? "" : String(entry.digit));
    digit.style.visibility = entry.digit === null ? "hidden" : "";
    swatch.style.backgroundColor = entry.color;
    setText(name, entry.name);
    const count = [...store.shownObjects.values()].filter((object) => object.class === id).length;
    setText(note, count ? String(count) : "");
    const edit = /** @type {HTMLElement} */ (row.querySelector(".button"));
    edit.setAttribute("aria-label", `Edit ${entry.name}`);
  }

  store.subscribe(["classes", "objects", "place", "selection"], inNextFrame(draw));
}

/** @param {App} app @param {number | null} id null for a new class */
function editClass(app, id) {
  const { store } = app;
  const used = new Set([...store.classes.values()].map((entry) => entry.digit));
  const free = DIGITS.find((digit) => !used.has(digit)) ?? null;
  const colors = new Set([...store.classes.values()].map((entry) => entry.color.toLowerCase()));
  const color = COLORS.find((value) => !colors.has(value)) || COLORS[store.classes.size % COLORS.length];
  const entry = (id !== null && store.classes.get(id)) || { name: "", color, attributes: [], digit: free };
  const name = h("input", { class: "field", value: entry.name, required: true, maxLength: 200, autocomplete: "off" });
  const colorInput = h("input", { type: "color", value: entry.color });
  const digit = h(
    "select",
    { class: "field" },
    h("option", { value: "" }, "none"),
    DIGITS.map((value) => {
      const user = [...store.classes].find(([other, candidate]) => other !== id && candidate.digit === value);
      return h("option", { value: String(value) }, user ? `${value} (now ${user[1].name})` : String(value));
    }),
  );
  digit.value = entry.digit === null ? "" : String(entry.digit);
  const attributes = h("input", {
    class: "field",
    value: entry.attributes.join(", "),
    placeholder: "such as color, direction",
    autocomplete: "off",
  });
  const form = h(
    "form",
    { class: "attributes", id: newId() },
    labelled("Name", name),
    labelled("Color", colorInput),
    labelled("Digit", digit),
    labelled("Attributes", attributes),
    h(
      "p",
      { class: "muted" },
      "Attributes are text fields of each object of the class. Separate their names by commas.",
    ),
  );
  let saved = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const names = attributes.value.split(",").map((text) => text.trim());
    const fields = {
      name: name.value.trim(),
      color: colorInput.value,
      digit: digit.value ? Number(digit.value) : null,
      attributes: [...new Set(names.filter(Boolean))],
    };
    if (!fields.name) return;
    const reply =
      id === null
        ? await app.server.send("add_class", { fields })
        : await app.server.send("change_class", { class: id, fields });
    if (!reply) return;
    saved = true;
    dialog.close();
    if (id === null) app.classes.use(reply.class, fields.name);
  });
  const dialog = openDialog({
    title: id === null ? "New class" : `Class ${entry.name}`,
    size: "narrow",
    content: [form],
    onclose: () => saved && focusCanvas(),
    footer: [
      id !== null &&
        button({
          text: "Delete",
          class: "danger",
          onclick: () => {
            dialog.close();
            app.classes.remove(id);
          },
        }),
      spacer(),
      button({ text: "Cancel", class: "outlined", onclick: () => dialog.close() }),
      h("button", { class: "button primary", type: "submit", form: form.id }, id === null ? "Add" : "Save"),
    ],
  });
}
