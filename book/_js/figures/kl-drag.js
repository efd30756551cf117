// Drag a normal q over a density p and watch KL(q‖p), KL(p‖q) and the ELBO: above, the two densities;
// between, how ELBO and KL(q‖p) add up to the log evidence; below, the landscape of each divergence.
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { bottomAxis, button, choice, drawWhenSized, el, leftAxis, liveText, reducedMotion, slider }
  from "./dom.js";
import { checked, contour, descend, landscape, minima, momentMatch, state, target }
  from "./kl-drag-math.js";

const MARGIN = { top: 24, right: 10, bottom: 44, left: 34 };
const LEVELS = [0.1, 0.2, 0.5, 1, 2, 5, 10];
const WINDOW = 6;
const STEPS = 160;
// A true minus, which is also read out as one.
const minus = (text) => text.replace("-", "−");
const two = (value) => minus(value.toFixed(2));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A number of nats in words: three decimals, fewer where it is large. */
function nats(value) {
  const size = Math.abs(value);
  if (size === Infinity) return value > 0 ? "above 1e308" : "below −1e308";
  if (size >= 1e5) return minus(value.toExponential(1).replace("+", ""));
  return minus(value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : 3));
}

/** A drawing whose parts are replaced at will while its handles, which are being held, stay. */
function board(className, ...handles) {
  const layer = el("g");
  const svg = el("svg", { role: "img" }, layer, ...handles);
  const node = el("div", { class: `bnn-plot ${className}` }, svg);
  const draw = ({ width, height }, label, ...marks) => {
    for (const [name, value] of Object.entries({ width, height, "aria-label": label })) {
      svg.setAttribute(name, value);
    }
    layer.replaceChildren(...marks);
  };
  return { node, draw };
}

/** Something to hold, 44 pixels wide, with its visible shape inside. */
function handle(className, ...shapes) {
  const node = el("g", { class: `bnn-handle ${className}`, "aria-hidden": "true" },
    el("circle", { class: "bnn-grip", r: 22 }), ...shapes);
  return { node, move: (x, y) => node.setAttribute("transform", `translate(${x},${y})`) };
}

/** Call `move(x, y)`, in pixels of the area, as the pointer drags what it took hold of. */
function draggable(node, area, move, begin = () => {}) {
  let held = null;
  node.addEventListener("pointerdown", (event) => {
    // Touching the ground scrolls the page; touching a handle does not.
    const onHandle = event.target.closest(".bnn-handle");
    if (event.button !== 0 || (!onHandle && event.pointerType !== "mouse")) return;
    event.preventDefault();
    held = event.pointerId;
    node.setPointerCapture(held);
    begin();
    if (!onHandle) follow(event);
  });
  const follow = (event) => {
    const box = area.getBoundingClientRect();
    move(event.clientX - box.left, event.clientY - box.top);
  };
  node.addEventListener("pointermove", (event) => { if (event.pointerId === held) follow(event); });
  // The style touch-action says the same, but browsers disagree on whether parts of an SVG heed it.
  node.addEventListener("touchstart", (event) => {
    if (event.target.closest(".bnn-handle")) event.preventDefault();
  }, { passive: false });
  for (const name of ["pointerup", "pointercancel"]) {
    node.addEventListener(name, (event) => { if (event.pointerId === held) held = null; });
  }
}

export function mount(stage, data) {
  const initial = checked({ ...data });
  const { log_evidence: logEvidence, mean_low, mean_high, sd_low, sd_high } = initial;
  let [chosen, mean, sd] = [0, initial.mean, initial.sd];
  let trail = [];
  let frame = 0;
  const sizes = {};
  const known = new Map();

  /** Target, minima and landscapes of the chosen p: worked out once. */
  function chosenTarget() {
    if (!known.has(chosen)) {
      const p = target(initial.targets[chosen]);
      const map = landscape(p, initial);
      const contours = (values) => LEVELS.map((level) => contour(values, map.means.length, level));
      known.set(chosen, { p, minima: minima(p), match: momentMatch(p), columns: map.means.length,
        rows: map.logs.length, seeking: contours(map.seeking), covering: contours(map.covering) });
    }
    return known.get(chosen);
  }

  const disc = () => el("circle", { class: "bnn-knob", r: 9 });
  const grips = { mean: handle("bnn-sideways", disc()),
    sd: handle("bnn-sideways", el("rect", { class: "bnn-knob", x: -8, y: -8, width: 16, height: 16 })),
    seeking: handle("", disc()), covering: handle("", disc()) };
  const boards = { densities: board("bnn-densities", grips.sd.node, grips.mean.node),
    bar: board("bnn-bar"), seeking: board("bnn-map", grips.seeking.node),
    covering: board("bnn-map", grips.covering.node) };

  const live = liveText();
  const cells = {};
  const readout = el("div", { class: "bnn-readout" }, el("dl", {},
    ...[["seeking", "KL(q‖p)"], ["covering", "KL(p‖q)"], ["elbo", "ELBO"],
      ["evidence", "log evidence"]].map(([name, text]) =>
      el("div", {}, el("dt", {}, text), cells[name] = el("dd", {})))));
  cells.evidence.textContent = nats(logEvidence);

  // The sliders step; what is dragged does not, so the text shows the value itself.
  const toStep = (value) => (STEPS * Math.log(value / sd_low)) / Math.log(sd_high / sd_low);
  const fromStep = (i) => sd_low * (sd_high / sd_low) ** (i / STEPS);
  const controls = {
    target: choice({ label: "Target p", options: initial.targets.map((t) => t.name),
      onChange: (i) => { chosen = i; halt(); update(); } }),
    mean: slider({ label: "Mean of q", min: mean_low, max: mean_high, step: 0.05, value: mean,
      show: () => two(mean), onChange: (value) => { halt(); place(value, sd); } }),
    sd: slider({ label: "Standard deviation of q", min: 0, max: STEPS, step: 1, value: toStep(sd),
      show: () => two(sd), onChange: (i) => { halt(); place(mean, fromStep(i)); } }),
  };
  // The text is written before onChange has run, with the value of before.
  const place = (m, s) => { [mean, sd] = [m, s]; setSliders(); update(); };
  const setSliders = () => { controls.mean.set(mean); controls.sd.set(toStep(sd)); };
  const inside = (m, s) => [clamp(m, mean_low, mean_high), clamp(s, sd_low, sd_high)];

  function halt() {
    cancelAnimationFrame(frame);
    trail = [];
  }

  /** Walk along a path of (mean, sd), or be at its end at once where motion is not wanted. */
  function walk(path, downhill) {
    halt();
    if (downhill) trail = path;
    const last = path.length - 1;
    if (reducedMotion() || !last) return place(...path[last]);
    const start = performance.now();
    const step = (now) => {
      const share = clamp((now - start) / 700, 0, 1);
      const at = last * (1 - (1 - share) ** 2);
      const [from, to] = [path[Math.floor(at)], path[Math.ceil(at)]];
      place(...from.map((v, i) => v + (at % 1) * (to[i] - v)));
      if (share < 1) frame = requestAnimationFrame(step);
    };
    step(start);
  }

  const toSeeking = button("Down to a minimum of KL(q‖p)", () => walk(descend(chosenTarget().p, [mean, sd]), true));
  const toCovering = button("To the minimum of KL(p‖q)", () => {
    const { match } = chosenTarget();
    if (match) walk(Array.from({ length: 21 }, (_, i) => [mean + ((match[0] - mean) * i) / 20,
      sd * (match[1] / sd) ** (i / 20)]).slice(0, -1).concat([match]), false);
    else live.say("KL(p‖q) is infinite for every normal q, because p has no variance.");
  });
  const reset = button("Reset", () => {
    halt();
    chosen = 0;
    controls.target.set(0);
    place(initial.mean, initial.sd);
  });

  function update({ silent = false } = {}) {
    const now = state(chosenTarget().p, logEvidence, mean, sd);
    const infinite = now.no_variance ? "infinite" : nats(now.covering);
    cells.seeking.textContent = nats(now.seeking);
    cells.covering.textContent = infinite;
    cells.elbo.textContent = nats(now.elbo);
    const sentence = `q has mean ${two(mean)} and standard deviation ${two(sd)}. `
      + `KL(q‖p), the average over q, is ${nats(now.seeking)} nats; `
      + `KL(p‖q), the average over p, is ${infinite}${now.no_variance ? " because p has no variance" : ""}. `
      + `The ELBO is ${nats(now.elbo)}; with KL(q‖p) it makes the log evidence, ${nats(logEvidence)}.`;
    if (!silent) live.say(sentence);
    if (sizes.densities) drawDensities(sizes.densities, sentence);
    if (sizes.bar) drawBar(sizes.bar, now);
    for (const name of ["seeking", "covering"]) if (sizes[name]) drawMap(name, sizes[name], now);
  }

  const across = (size) => scaleLinear([mean_low, mean_high], [MARGIN.left, size.width - MARGIN.right]);
  const axes = ({ width, height }, x, y, titles, marks) => {
    const [left, bottom] = [MARGIN.left, height - MARGIN.bottom];
    const box = { x: left, y: MARGIN.top, width: width - MARGIN.right - left, height: bottom - MARGIN.top };
    return [leftAxis(y, { x: left, right: width - MARGIN.right, title: titles[1] }),
      el("svg", { ...box, class: "bnn-inside", viewBox: Object.values(box).join(" ") }, ...marks),
      bottomAxis(x, { y: bottom, title: titles[0], count: width < 300 ? 3 : 7 })];
  };

  function drawDensities(size, sentence) {
    const { p } = chosenTarget();
    const x = across(size);
    const even = Array.from({ length: 241 }, (_, i) => mean_low + ((mean_high - mean_low) * i) / 240);
    const curve = (log, more) => [...even, ...more].sort((a, b) => a - b).map((t) => [t, Math.exp(log(t))]);
    const near = ([centre, scale]) => Array.from({ length: 81 }, (_, i) => centre + scale * (i / 8 - 5));
    const logQ = (t) => -0.5 * ((t - mean) / sd) ** 2 - Math.log(sd) - 0.5 * Math.log(2 * Math.PI);
    const ps = curve(p.log, p.marks.flatMap(near));
    const top = 2 * Math.max(...ps.map(([, height]) => height));
    const y = scaleLinear([0, top], [size.height - MARGIN.bottom, MARGIN.top]);
    // What is higher than the picture leaves it at the top.
    const level = (d) => Math.max(y(d), MARGIN.top - 9);
    const path = line().x((d) => x(d[0])).y((d) => level(d[1]));
    const shape = area().x((d) => x(d[0])).y0(y(0)).y1((d) => level(d[1]));
    const qs = curve(logQ, near([mean, sd]));
    const at = { mean: x(mean), y: Math.max(y(Math.exp(logQ(mean + sd))), MARGIN.top + 10),
      sd: Math.min(x(mean + sd), size.width - MARGIN.right) };
    boards.densities.draw(size, `The densities p, ${p.name}, and q. ${sentence}`,
      ...axes(size, x, y, ["θ", "density"], [
        el("path", { class: "bnn-target-area", d: shape(ps) }),
        el("path", { class: "bnn-line bnn-target", d: path(ps) }),
        el("path", { class: "bnn-line bnn-posterior", d: path(qs) }),
        el("line", { class: "bnn-stem", x1: at.mean, x2: at.mean, y1: y(0), y2: level(Math.exp(logQ(mean))) }),
        el("line", { class: "bnn-stem", x1: at.mean, x2: at.sd, y1: at.y, y2: at.y }),
      ]));
    grips.mean.move(at.mean, y(0));
    grips.sd.move(at.sd, at.y);
  }

  /** ELBO and KL(q‖p) as lengths that end at the log evidence. */
  function drawBar(size, now) {
    const { width } = size;
    const [low, right] = [logEvidence - WINDOW, width - MARGIN.right];
    const x = scaleLinear([low, logEvidence + 0.2], [MARGIN.left, right]);
    const cut = x(clamp(now.elbo, low, logEvidence));
    const [y, height, end] = [22, 26, x(logEvidence)];
    const word = (text, from, to, beyond = false) => (to - from > 8 * text.length || beyond
      ? [el("text", { x: beyond ? from + 6 : (from + to) / 2, y: y + 18,
        "text-anchor": beyond ? "start" : "middle" }, text)] : []);
    const beyond = now.elbo < low;
    boards.bar.draw(size, `The ELBO, ${nats(now.elbo)}, and KL(q‖p), ${nats(now.seeking)}, add up to `
      + `the log evidence, ${nats(logEvidence)}.`,
    el("text", { class: "bnn-axis-title", x: right, y: 14, "text-anchor": "end" },
      `ELBO ${nats(now.elbo)} + KL(q‖p) ${nats(now.seeking)} = log evidence ${nats(logEvidence)}`),
    el("rect", { class: "bnn-elbo", x: MARGIN.left, y, height, width: cut - MARGIN.left }),
    el("rect", { class: "bnn-gap", x: cut, y, height, width: end - cut }),
    ...word("ELBO", MARGIN.left, cut),
    ...word(beyond ? "◂ ELBO is further left; KL(q‖p)" : "KL(q‖p)", cut, end, beyond),
    el("line", { class: "bnn-line bnn-truth", x1: end, x2: end, y1: y - 4, y2: y + height + 4 }),
    bottomAxis(x, { y: y + height + 8, count: width < 500 ? 4 : 7, title: "nats" }));
  }

  const down = ({ height }) => {
    const straight = scaleLinear([Math.log(sd_low), Math.log(sd_high)], [height - MARGIN.bottom, MARGIN.top]);
    const labels = [1e-4, 1e-3, 0.01, 0.1, 0.3, 1, 3, 10, 100, 1e3, 1e4];
    return Object.assign((s) => straight(Math.log(s)), { range: straight.range,
      ticks: () => labels.filter((s) => s >= sd_low && s <= sd_high), tickFormat: () => String,
      invert: (pixel) => Math.exp(straight.invert(pixel)) });
  };

  function drawMap(name, size, now) {
    const { columns, rows, minima: lowest, match, [name]: contours } = chosenTarget();
    const [x, y] = [across(size), down(size)];
    const gridX = scaleLinear([0, columns - 1], x.range());
    const gridY = scaleLinear([0, rows - 1], y.range());
    const rings = contours.map((segments, i) => el("path", { class: `bnn-line bnn-ring-${i}`,
      d: segments.map(([a, b, c, d]) => `M${gridX(a).toFixed(1)},${gridY(b).toFixed(1)}L${gridX(c).toFixed(1)},${gridY(d).toFixed(1)}`).join("") }));
    const title = name === "seeking" ? "KL(q‖p)" : "KL(p‖q)";
    const best = name === "seeking" ? lowest : match ? [match] : [];
    const walked = name === "seeking" && trail.length > 1
      ? [el("path", { class: "bnn-trail", d: line().x((q) => x(q[0])).y((q) => y(q[1]))(trail) })] : [];
    const places = best.map((q) => `mean ${two(q[0])} and standard deviation ${two(q[1])}`).join("; ");
    const words = best.length ? `Minimum at ${places}.` : "Infinite everywhere.";
    boards[name].draw(size, `Contours of ${title} over mean and standard deviation of q. ${words}`,
      ...axes(size, x, y, ["mean of q", "sd of q"], [
        el("g", { class: `bnn-${name}` }, ...rings), ...walked,
        ...best.map((q) => el("path", { class: `bnn-best bnn-${name}`,
          d: `M${x(q[0])},${y(q[1])}m-6,-6l12,12m0,-12l-12,12` })),
        ...(best.length ? [] : [el("text", { x: (x.range()[0] + x.range()[1]) / 2,
          y: (y.range()[0] + y.range()[1]) / 2 - 20, "text-anchor": "middle" }, "infinite everywhere")]),
      ]),
      el("text", { class: `bnn-map-title bnn-${name}`, x: x.range()[1], y: MARGIN.top - 8,
        "text-anchor": "end" }, title));
    grips[name].move(x(clamp(mean, mean_low, mean_high)), y(clamp(sd, sd_low, sd_high)));
  }

  draggable(grips.mean.node, boards.densities.node, (px) =>
    place(...inside(across(sizes.densities).invert(px), sd)), halt);
  draggable(grips.sd.node, boards.densities.node, (px) =>
    place(...inside(mean, across(sizes.densities).invert(px) - mean)), halt);
  for (const name of ["seeking", "covering"]) {
    const { node } = boards[name];
    const to = (px, py) => place(...inside(across(sizes[name]).invert(px), down(sizes[name]).invert(py)));
    draggable(node, node, to, halt);
    node.addEventListener("click", (event) => {
      // A mouse has moved q already, and so has a finger that held the handle.
      if (event.pointerType === "mouse" || event.target.closest(".bnn-handle")) return;
      const box = node.getBoundingClientRect();
      halt();
      to(event.clientX - box.left, event.clientY - box.top);
    });
  }

  const sample = (className, d) => el("svg", { width: 30, height: 14, "aria-hidden": "true" },
    el("path", { class: className, d }));
  const legend = el("ul", { class: "bnn-legend" }, ...[
    ["bnn-line bnn-target", "M1,7h28", "target p"], ["bnn-line bnn-posterior", "M1,7h28", "normal q"],
    ["bnn-best bnn-seeking", "M9,1l12,12m0,-12l-12,12", "minima of KL(q‖p)"],
    ["bnn-best bnn-covering", "M9,1l12,12m0,-12l-12,12", "minimum of KL(p‖q)"],
    ["bnn-trail", "M1,7h28", "way down KL(q‖p)"]].map(([className, d, text]) =>
    el("li", {}, sample(className, d), text)),
  el("li", {}, `contours at ${LEVELS.join(", ")} nats`));

  stage.replaceChildren(
    el("div", { class: "bnn-controls" }, controls.target.node, controls.mean.node, controls.sd.node),
    el("p", { class: "bnn-hint" }, "Drag the disc (mean) or the square (standard deviation), drag in a map, or use the sliders."),
    el("div", { class: "bnn-buttons" }, toSeeking, toCovering, reset),
    boards.densities.node, readout, boards.bar.node,
    el("div", { class: "bnn-maps" }, boards.seeking.node, boards.covering.node), legend, live.node);
  for (const [name, { node }] of Object.entries(boards)) {
    drawWhenSized(node, (width, height) => { sizes[name] = { width, height }; update({ silent: true }); });
  }
}
