// Add points to a plane and watch the posterior of a line follow: lines and bands on one side, the
// ellipse of intercept and slope on the other.
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { bottomAxis, button, drawWhenSized, el, leftAxis, liveText, numberField, reducedMotion,
  slider, toggle, wholeNumber } from "./dom.js";
import { SCALES, checked, mix, picture, posterior, summary, truePoints }
  from "./regression-lines-math.js";

const MARGIN = { top: 28, right: 10, bottom: 44, left: 34 };
const LEGEND = [["rect", "point-band", "95 % band of a new point"],
  ["rect", "line-band", "95 % band of the line"], ["line", "posterior", "posterior mean"],
  ["line", "draw", "lines drawn from the posterior"],
  ["line", "truth", "truth behind the random points (×)"],
  ["line", "prior", "prior: contours of 50 % and 95 %"]];
// A true minus, which is also read out as one.
const two = (value) => value.toFixed(2).replace("-", "−");
const interval = ({ lower, upper }) => `${two(lower)} to ${two(upper)}`;

export function mount(stage, data) {
  const initial = checked({ ...data });
  let settings = { ...initial };
  let unknown = false;
  // Each entry is a place [x, y], or null for the next of the random points.
  let entries = [];
  let past = [];
  let shown = null;
  let frame = 0;
  let cursor = [0, 0];
  let aiming = false;
  const sizes = {};

  const plane = el("div", { class: "bnn-plot bnn-plane" });
  const ellipses = el("div", { class: "bnn-plot" });
  const live = liveText();
  const cells = {};
  const readout = el("div", { class: "bnn-readout" }, el("dl", {},
    ...[["points", "Points"], ["slope", "Slope: mean, 95 % interval"],
      ["intercept", "Intercept: mean, 95 % interval"], ["noise", "Noise sd"]].map(([name, text]) =>
      el("div", {}, el("dt", {}, text), cells[name] = el("dd", {})))));

  const nearest = (scale) => SCALES.reduce(
    (best, s, i) => (Math.abs(s - scale) < Math.abs(SCALES[best] - scale) ? i : best), 0);
  const scaleSlider = (name, label, show) => {
    settings[name] = initial[name] = SCALES[nearest(settings[name])];
    return slider({ label, min: 0, max: SCALES.length - 1, step: 1, value: nearest(settings[name]),
      show: (i) => show(SCALES[i]),
      onChange: (i) => { settings = { ...settings, [name]: SCALES[i] }; update(); } });
  };
  const prior = scaleSlider("prior_sd", "Prior sd", String);
  const noise = scaleSlider("noise_sd", "Noise sd", (s) => (unknown ? `about ${s}` : `${s}, known`));
  const setUnknown = (on) => { unknown = on; noise.set(nearest(settings.noise_sd)); };
  const learn = toggle("Learn the noise", unknown, (on) => { setUnknown(on); update(); });
  const seed = wholeNumber({ label: "Seed", min: 0, max: 9999, value: settings.seed,
    onChange: (value) => { settings = { ...settings, seed: value }; update({ moving: true }); } });
  const fields = ["x", "y"].map((axis, i) => {
    const [min, max] = [settings[`${axis}_low`], settings[`${axis}_high`]];
    const field = numberField({ label: axis, min, max, step: 0.5, value: 0,
      onChange: (value) => { cursor[i] = value; } });
    field.input.addEventListener("input", () => {
      const value = Number(field.input.value);
      if (value >= min && value <= max) cursor[i] = value;
      paint();
    });
    return field;
  });
  const form = el("form", { class: "bnn-add", novalidate: true, "aria-label": "Add a point" },
    ...fields.map((f) => f.node), el("button", { type: "submit" }, "Add point"));
  form.addEventListener("submit", (event) => { event.preventDefault(); add([[...cursor]]); });
  form.addEventListener("focusin", () => { aiming = true; paint(); });
  form.addEventListener("focusout", () => { aiming = false; paint(); });

  function replace(next) {
    past.push(entries);
    entries = next;
    update({ moving: true });
  }

  function add(more) {
    const room = settings.max_points - entries.length;
    if (room > 0) replace([...entries, ...more.slice(0, room)]);
    else live.say(`There are ${entries.length} points already, the most that fit.`);
  }

  const random = (count) => button(`+${count} random`, () => add(Array(count).fill(null)), {
    "aria-label": `+${count} random ${count === 1 ? "point" : "points"}` });
  const undo = button("Undo", () => {
    if (!past.length) return live.say("There is nothing to undo.");
    entries = past.pop();
    update({ moving: true });
  });
  const clear = button("Clear", () => replace([]), { "aria-label": "Clear all points" });
  const reset = button("Reset", () => {
    settings = { ...initial };
    entries = [];
    past = [];
    learn.set(false);
    setUnknown(false);
    prior.set(nearest(settings.prior_sd));
    seed.set(settings.seed);
    update({ moving: true });
  }, { "aria-label": "Reset points and settings" });

  function points() {
    const random = truePoints(settings, entries.filter((entry) => !entry).length);
    let next = 0;
    return entries.map((entry) => entry ?? random[next++]);
  }

  /** Everything follows the settings and points; the picture glides there, if it may. */
  function update({ moving = false, silent = false } = {}) {
    const placed = points();
    const fit = posterior(settings, placed, unknown);
    const [intercept, slope] = summary(fit);
    const count = `${fit.count} ${fit.count === 1 ? "point" : "points"}`;
    cells.points.textContent = fit.count;
    for (const part of [slope, intercept]) {
      cells[part.name].textContent = `${two(part.mean)}, ${interval(part)}`;
    }
    cells.noise.textContent = unknown ? `mean ${two(fit.noise)}` : `${settings.noise_sd}, known`;
    const about = fit.count ? `After ${count}, the posterior` : "With no points, the prior";
    const sentence = `${about} mean of the slope is ${two(slope.mean)}, with the 95 % interval `
      + `${interval(slope)}; that of the intercept is ${two(intercept.mean)}, with ${interval(intercept)}. `
      + (unknown ? `The noise sd is unknown; its mean is ${two(fit.noise)}.`
        : `The noise sd is known, ${settings.noise_sd}.`);
    if (!silent) live.say(sentence);
    const target = picture(settings, placed, unknown);
    const words = { sentence, placed, truth: entries.includes(null) };
    cancelAnimationFrame(frame);
    const from = shown?.numbers;
    if (!moving || !from || reducedMotion()) return paint({ numbers: target, ...words });
    const start = performance.now();
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - start) / 300));
      const numbers = share < 1 ? mix(from, target, 1 - (1 - share) ** 3) : target;
      paint({ numbers, ...words });
      if (share < 1) frame = requestAnimationFrame(step);
    };
    step(start);
  }

  function paint(next = shown) {
    shown = next;
    if (sizes.plane) paintPlane(sizes.plane);
    if (sizes.ellipses) paintEllipses(sizes.ellipses);
  }

  const planeScales = ({ width, height }) => [
    scaleLinear([settings.x_low, settings.x_high], [MARGIN.left, width - MARGIN.right]),
    scaleLinear([settings.y_low, settings.y_high], [height - MARGIN.bottom, MARGIN.top])];

  /** A drawing with axes whose marks are cut off at the axes. */
  function chart(node, { width, height }, [x, y], titles, label, marks) {
    const [left, bottom] = [MARGIN.left, height - MARGIN.bottom];
    const inside = { x: left, y: MARGIN.top, width: width - MARGIN.right - left,
      height: bottom - MARGIN.top };
    node.replaceChildren(el("svg", { width, height, role: "img", "aria-label": label },
      leftAxis(y, { x: left, right: width - MARGIN.right, title: titles[1] }),
      el("svg", { ...inside, class: "bnn-inside",
        viewBox: `${inside.x} ${inside.y} ${inside.width} ${inside.height}` }, ...marks),
      bottomAxis(x, { y: bottom, title: titles[0] })));
  }

  function paintPlane(size) {
    const [x, y] = planeScales(size);
    const { bands, draws } = shown.numbers;
    const across = (low, high) => area().x((row) => x(row[0])).y0((row) => y(row[low]))
      .y1((row) => y(row[high]))(bands);
    const straight = ([intercept, slope], name) => el("line", { class: `bnn-line ${name}`,
      ...Object.fromEntries([settings.x_low, settings.x_high].flatMap((end, i) =>
        [[`x${i + 1}`, x(end)], [`y${i + 1}`, y(intercept + slope * end)]])) });
    const label = `Points, lines and bands in the plane of x and y. ${shown.sentence}`;
    chart(plane, size, [x, y], ["x", "y"], label, [
      el("path", { class: "bnn-point-band", d: across(1, 5) }),
      el("path", { class: "bnn-line-band", d: across(2, 4) }),
      ...draws.map((draw) => straight(draw, "bnn-draw")),
      straight(shown.numbers.mean, "bnn-posterior"),
      ...(shown.truth ? [straight([settings.truth_intercept, settings.truth_slope], "bnn-truth")] : []),
      ...shown.placed.map(([px, py]) => el("circle", { class: "bnn-point", cx: x(px), cy: y(py), r: 4.5 })),
      ...(aiming ? [el("path", { class: "bnn-cursor",
        d: `M${x(cursor[0])},${y(cursor[1])}m-11,0h22m-11,-11v22` })] : []),
    ]);
  }

  function paintEllipses(size) {
    const { half, before, after, draws, mean } = shown.numbers;
    const x = scaleLinear([-half, half], [MARGIN.left, size.width - MARGIN.right]);
    const y = scaleLinear([-half, half], [size.height - MARGIN.bottom, MARGIN.top]);
    const ring = (name) => (rows) => el("path", { class: name,
      d: `${line().x((row) => x(row[0])).y((row) => y(row[1]))(rows)}Z` });
    const dot = (name, r) => ([b0, b1]) => el("circle", { class: name, cx: x(b0), cy: y(b1), r });
    const { truth_intercept, truth_slope } = settings;
    chart(ellipses, size, [x, y], ["intercept", "slope"],
      `Prior and posterior contours of intercept and slope. ${shown.sentence}`, [
        ...after.map(ring("bnn-area bnn-posterior")),
        ...after.map(ring("bnn-line bnn-posterior")),
        ...before.map(ring("bnn-line bnn-prior")),
        ...draws.map(dot("bnn-draw-dot", 2)),
        dot("bnn-head", 3.5)(mean),
        ...(shown.truth ? [el("path", { class: "bnn-line bnn-truth bnn-cross",
          d: `M${x(truth_intercept)},${y(truth_slope)}m-6,-6l12,12m0,-12l-12,12` })] : []),
      ]);
  }

  // The listener sits on the area: the drawing inside it is replaced all the time.
  plane.addEventListener("click", (event) => {
    const box = plane.getBoundingClientRect();
    const [x, y] = planeScales(sizes.plane);
    const place = [x.invert(event.clientX - box.left), y.invert(event.clientY - box.top)];
    const within = ["x", "y"].every((axis, i) =>
      place[i] >= settings[`${axis}_low`] && place[i] <= settings[`${axis}_high`]);
    if (within) add([place]);
  });

  const legend = el("ul", { class: "bnn-legend" }, ...LEGEND.map(([mark, name, text]) =>
    el("li", {}, el("svg", { width: 30, height: 12, "aria-hidden": "true" },
      mark === "line" ? el("line", { class: `bnn-line bnn-${name}`, x1: 1, x2: 29, y1: 6, y2: 6 })
        : el("rect", { class: `bnn-${name}`, x: 1, y: 1, width: 28, height: 10 })), text)));
  stage.replaceChildren(
    el("div", { class: "bnn-controls" }, prior.node, noise.node, learn.node),
    el("p", { class: "bnn-hint" }, "Click or tap the plane to add a point, or type it:"),
    el("div", { class: "bnn-buttons" }, form, undo, clear, reset,
      el("div", { class: "bnn-group" }, random(1), random(10), seed.node)),
    el("div", { class: "bnn-panels" }, plane, ellipses), legend, readout, live.node);
  update({ silent: true });
  for (const [name, node] of [["plane", plane], ["ellipses", ellipses]]) {
    drawWhenSized(node, (width, height) => { sizes[name] = { width, height }; paint(); });
  }
}
