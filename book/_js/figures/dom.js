// Small parts that all interactive figures share: elements, controls, a drawing area with axes.
// Colours come from figures.css by class, never from here.

const SVG = "http://www.w3.org/2000/svg";
const SVG_NAMES = new Set(["svg", "clipPath", "g", "path", "line", "text", "circle", "rect", "title"]);
let counter = 0;

/** An element with attributes and children (strings become text). */
export function el(name, attributes = {}, ...children) {
  const node = SVG_NAMES.has(name) ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** An id that no other element of the page has. */
export const freshId = (stem) => `bnn-${stem}-${++counter}`;

/**
 * A labelled slider. `show` turns its value into the text beside the label, which is also what a
 * screen reader says.
 */
export function slider({ label, min, max, step, value, show, onChange }) {
  const id = freshId("slider");
  const input = el("input", { id, type: "range", min, max, step, value });
  // Not an <output>: that is a live region, and would speak at every step of a drag.
  const shown = el("span", { class: "bnn-value", "aria-hidden": "true" });
  const update = () => {
    shown.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => { update(); onChange(Number(input.value)); });
  update();
  const head = el("span", { class: "bnn-slider-head" }, el("label", { for: id }, label), shown);
  const set = (next) => { input.value = next; update(); };
  return { node: el("div", { class: "bnn-slider" }, head, input), set };
}

/** A labelled field for a whole number; anything else is put back to the last good one. */
export const wholeNumber = (options) => numberField({ ...options, step: 1, whole: true });

/** A labelled field for a number in a range, likewise. */
export function numberField({ label, min, max, step, value, whole = false, onChange }) {
  const id = freshId("number");
  const input = el("input", { id, type: "number", min, max, step, value,
    inputmode: whole ? "numeric" : min < 0 ? "text" : "decimal" });
  let last = value;
  input.addEventListener("change", () => {
    const next = Number(input.value);
    const good = input.value !== "" && (!whole || Number.isInteger(next)) && next >= min
      && next <= max;
    if (good) last = next;
    input.value = last;
    if (good) onChange(last);
  });
  const set = (next) => { last = next; input.value = next; };
  return { node: el("div", { class: "bnn-number" }, el("label", { for: id }, label), input), set,
    input };
}

/** A labelled list to choose from. */
export function choice({ label, options, onChange }) {
  const id = freshId("choice");
  const list = el("select", { id }, ...options.map((text, i) => el("option", { value: i }, text)));
  list.addEventListener("change", () => onChange(Number(list.value)));
  return { node: el("div", { class: "bnn-slider" }, el("span", { class: "bnn-slider-head" },
    el("label", { for: id }, label)), list), set: (i) => { list.value = i; } };
}

/** A button; its text can change. */
export function button(text, onClick, attributes = {}) {
  const node = el("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", onClick);
  return node;
}

/** A button that is on or off. */
export function toggle(text, on, onChange) {
  const set = (next) => { on = next; node.setAttribute("aria-pressed", String(next)); };
  const node = button(text, () => { set(!on); onChange(on); }, { class: "bnn-toggle" });
  set(on);
  return { node, set };
}

/** A polite live region that speaks at most once in `pause` milliseconds, and always the latest. */
export function liveText(pause = 1200) {
  const node = el("p", { role: "status", class: "bnn-visually-hidden" });
  let timer = 0;
  let waiting = null;
  const speak = () => {
    timer = 0;
    if (waiting === null) return;
    node.textContent = waiting;
    waiting = null;
    timer = setTimeout(speak, pause);
  };
  const say = (text) => {
    waiting = text;
    // Even the first words wait a little, so that dragging a slider is one message, not fifty.
    if (!timer) timer = setTimeout(speak, 400);
  };
  return { node, say };
}

/** Call `draw(width, height)` now and whenever the area's size changes. */
export function drawWhenSized(area, draw) {
  let last = "";
  const redraw = () => {
    const { width, height } = area.getBoundingClientRect();
    const size = `${Math.round(width)}x${Math.round(height)}`;
    if (width > 0 && size !== last) {
      last = size;
      draw(Math.round(width), Math.round(height));
    }
  };
  new ResizeObserver(redraw).observe(area);
  redraw();
}

/** Axis at the bottom: a line, ticks with numbers, a title. */
export function bottomAxis(scale, { y, count = 5, title }) {
  const [from, to] = scale.range();
  const format = scale.tickFormat(count);
  const ticks = scale.ticks(count).map((t) =>
    el("g", { transform: `translate(${scale(t)},${y})` },
      el("line", { class: "bnn-axis", y2: 5 }),
      el("text", { y: 19, "text-anchor": "middle" }, format(t))));
  return el("g", {},
    el("line", { class: "bnn-axis", x1: from, x2: to, y1: y, y2: y }), ...ticks,
    el("text", { class: "bnn-axis-title", x: (from + to) / 2, y: y + 38, "text-anchor": "middle" },
      title));
}

/** Axis at the left: faint lines across, numbers, a title above. */
export function leftAxis(scale, { x, right, count = 4, title }) {
  const format = scale.tickFormat(count);
  const ticks = scale.ticks(count).map((t) =>
    el("g", { transform: `translate(0,${scale(t)})` },
      el("line", { class: "bnn-grid", x1: x, x2: right }),
      el("text", { x: x - 7, dy: "0.32em", "text-anchor": "end" }, format(t))));
  const top = Math.min(...scale.range());
  return el("g", {}, ...ticks,
    el("text", { class: "bnn-axis-title", x: 0, y: top - 8 }, title));
}

/** Whether the reader's system asks for less motion. */
export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
