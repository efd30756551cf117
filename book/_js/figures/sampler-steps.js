// Step through samplers on densities in the plane: what is proposed, what becomes of it, and what
// trace and histogram of the first coordinate make of that.
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { contour } from "./contour.js";
import { bottomAxis, button, choice, drawWhenSized, el, freshId, leftAxis, liveText, reducedMotion,
  slider, wholeNumber } from "./dom.js";
import { SAMPLERS, begin, checked, histogram, surface, target } from "./sampler-steps-math.js";

const MARGIN = { top: 24, right: 10, bottom: 44, left: 34 };
// As shares of the top: where a normal has these distances from its centre, in sds.
const LEVELS = [1, 2, 3, 4].map((sds) => Math.exp((-sds * sds) / 2));
const SHOWN = { draws: 1000, trace: 100, bins: 40 };
const STEPS = 100;
const JUMP = 100;
const NAMES = Object.keys(SAMPLERS);
const two = (value) => value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

export function mount(stage, data) {
  const initial = checked({ ...data });
  const targets = initial.targets.map(target);
  const known = new Map();
  const sizes = {};
  let chosen = 0;
  let chain = null;
  let last = null;
  let draws = [];
  let trace = [];
  let timer = 0;

  /** Density, limits and contours of the chosen target: worked out once. */
  function chosenTarget() {
    if (!known.has(chosen)) {
      const grid = surface(targets[chosen]);
      // From steps of the grid to the plane: between nodes, the nodes' places are interpolated.
      const place = (nodes, at) => nodes[Math.floor(at)]
        + (at % 1) * (nodes[Math.ceil(at)] - nodes[Math.floor(at)]);
      known.set(chosen, LEVELS.map((level) => contour(grid.values, grid.xs.length, level).map(
        (s) => s.map((at, i) => place(i % 2 ? grid.ys : grid.xs, at)))));
    }
    return { p: targets[chosen], rings: known.get(chosen) };
  }

  const clip = freshId("clip");
  const boards = Object.fromEntries(["walk", "trace", "histogram"].map((name) =>
    [name, el("div", { class: `bnn-plot bnn-${name}` })]));
  const live = liveText();
  const cells = {};
  const readout = el("div", { class: "bnn-readout" }, el("dl", {},
    ...[["steps", "Steps"], ["accepted", "Accepted"], ["densities", "Density calls"],
      ["gradients", "Gradient calls"], ["mean", "Mean / exact"]].map(([name, text]) =>
      el("div", {}, el("dt", {}, text), cells[name] = el("dd", {})))));

  const ratio = initial.step_high / initial.step_low;
  const fromSlider = (i) => initial.step_low * ratio ** (i / STEPS);
  const notch = Math.round((STEPS * Math.log(initial.step / initial.step_low)) / Math.log(ratio));
  const settings = { sampler: NAMES[0], step: fromSlider(notch), leaps: initial.leaps, seed: initial.seed };
  const controls = {
    sampler: choice({ label: "Sampler", options: NAMES.map((name) => SAMPLERS[name].name),
      onChange: (i) => change({ sampler: NAMES[i] }) }),
    target: choice({ label: "Target", options: targets.map((p) => p.name),
      onChange: (i) => { chosen = i; change({}); } }),
    step: slider({ label: "Step size", min: 0, max: STEPS, step: 1, value: notch,
      show: (i) => two(fromSlider(i)), onChange: (i) => change({ step: fromSlider(i) }) }),
    leaps: slider({ label: "Leapfrog steps", min: 1, max: initial.max_leaps, step: 1,
      value: initial.leaps, show: String, onChange: (leaps) => change({ leaps }) }),
    seed: wholeNumber({ label: "Seed", min: 0, max: 9999, value: initial.seed,
      onChange: (seed) => change({ seed }) }),
  };
  const one = button("Step", () => { pause(); advance(1); });
  const play = button("Run", () => {
    if (timer) pause();
    else if (reducedMotion()) advance(JUMP);
    else start();
  }, { class: "bnn-play" });
  const jump = button(`+${JUMP}`, () => { pause(); advance(JUMP); }, { "aria-label": `${JUMP} steps at once` });
  const reset = button("Reset", () => { pause(); change({}); });

  /** A new chain: all it does follows from the settings, so that it can be had again. */
  function change(some, how) {
    Object.assign(settings, some);
    chain = begin(targets[chosen], settings);
    [last, draws, trace] = [null, [], []];
    controls.leaps.node.querySelector("input").disabled = settings.sampler !== "hmc";
    controls.step.node.querySelector("label").textContent = SAMPLERS[settings.sampler].step;
    show(how);
  }

  function advance(count) {
    for (let i = 0; i < count && chain.steps < initial.max_steps; i++) {
      last = chain.advance();
      draws.push(chain.x);
      trace.push(last.accepted);
    }
    if (chain.steps >= initial.max_steps) pause();
    show();
  }

  function start() {
    play.textContent = "Pause";
    // One step at a time at first, so that each can be seen; later by a fiftieth.
    timer = setInterval(() => advance(Math.max(1, Math.round(chain.steps / 50))), 250);
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Run";
  }

  const fate = () => {
    if (!last) return "at its start";
    if (settings.sampler === "slice") return "a draw from each slice, none rejected";
    return last.accepted ? "proposal accepted"
      : last.diverged ? "trajectory diverged, proposal rejected" : "proposal rejected";
  };
  const place = (x) => `(${two(x[0])}, ${two(x[1])})`;

  function show({ silent = false } = {}) {
    const { p } = chosenTarget();
    const { steps, accepted, densities, gradients } = chain;
    const full = steps >= initial.max_steps;
    const share = steps ? `${Math.round((100 * accepted) / steps)} %` : "–";
    const mean = steps ? two(chain.sum / steps) : "–";
    cells.steps.textContent = steps;
    cells.accepted.textContent = share;
    cells.densities.textContent = densities;
    cells.gradients.textContent = gradients;
    cells.mean.textContent = `${mean} / ${two(p.mean)}`;
    for (const node of [one, play, jump]) node.disabled = full;
    if (!silent) {
      live.say(`${SAMPLERS[settings.sampler].name} on the ${p.name}, ${plural(steps, "step")}: ${fate()}, `
        + `now at ${place(chain.x)}. ${steps ? `${accepted} of ${steps} accepted, ${share}. Mean of the `
        + `first coordinate ${mean}, exact ${two(p.mean)}. ` : ""}${plural(densities, "density evaluation")}, `
        + `${plural(gradients, "gradient evaluation")}.`);
    }
    for (const [name, draw] of Object.entries({ walk: drawWalk, trace: drawTrace, histogram: drawHistogram })) {
      if (sizes[name]) draw(sizes[name]);
    }
  }

  const inner = ({ width, height }) => ({ left: MARGIN.left, right: width - MARGIN.right,
    top: MARGIN.top, bottom: height - MARGIN.bottom });
  const finite = (x) => x.every(Number.isFinite);

  function drawWalk(size) {
    const { left, right, top, bottom } = inner(size);
    const { p, rings } = chosenTarget();
    const x = scaleLinear(p.limits[0], [left, right]);
    const y = scaleLinear(p.limits[1], [bottom, top]);
    // Far outside, a browser's coordinates would overflow.
    const at = (point) => [x(point[0]), y(point[1])].map((v) => Math.max(-1e4, Math.min(1e4, v)));
    const cross = (point, r) => `M${at(point)}m${-r},${-r}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`;
    const disc = (className, point, r) => {
      const [cx, cy] = at(point);
      return el("circle", { class: className, cx, cy, r });
    };
    const marks = draws.slice(-SHOWN.draws).map((point) => disc("bnn-draw-dot", point, 2.5));
    if (last) {
      const { from, path = [from, last.proposed], brackets = [], misses = [], proposed, accepted } = last;
      const way = path.filter(finite);
      marks.push(
        ...brackets.map(([a, b]) => el("path", { class: "bnn-bracket", d: `M${at(a)}L${at(b)}` })),
        el("path", { class: accepted ? "bnn-way" : "bnn-way bnn-lost", d: line()(way.map(at)) }),
        ...way.slice(1, -1).map((point) => disc("bnn-leap", point, 2.5)),
        el("path", { class: "bnn-miss", d: misses.map((point) => cross(point, 3)).join("") }));
      if (!accepted && finite(proposed)) marks.push(el("path", { class: "bnn-rejected", d: cross(proposed, 6) }));
      if (accepted) marks.push(disc("bnn-accepted", proposed, 6));
    }
    const [hx, hy] = at(chain.x);
    marks.push(el("rect", { class: "bnn-here", x: hx - 9, y: hy - 9, width: 18, height: 18 }));
    boards.walk.replaceChildren(el("svg", { ...size, role: "img",
      "aria-label": `The plane with contours of the ${p.name}, ${plural(draws.length, "draw")}, and the last `
        + `step: ${fate()}, now at ${place(chain.x)}.` },
    el("clipPath", { id: clip }, el("rect", { x: left, y: top, width: right - left, height: bottom - top })),
    leftAxis(y, { x: left, right, title: "second coordinate" }),
    bottomAxis(x, { y: bottom, title: "first coordinate" }),
    el("g", { "clip-path": `url(#${clip})` },
      ...rings.map((segments) => el("path", { class: "bnn-line bnn-target",
        d: segments.map(([a, b, c, d]) => `M${at([a, b])}L${at([c, d])}`).join("") })),
      ...marks)));
  }

  function drawTrace(size) {
    const { left, right, top, bottom } = inner(size);
    const { p } = chosenTarget();
    const first = Math.max(0, draws.length - SHOWN.trace);
    const x = scaleLinear([first + 1, first + SHOWN.trace], [left, right]);
    const y = scaleLinear(p.limits[0], [bottom, top]);
    const points = draws.slice(first).map((draw, i) => [x(first + 1 + i),
      Math.max(top, Math.min(bottom, y(draw[0])))]);
    boards.trace.replaceChildren(el("svg", { ...size, role: "img",
      "aria-label": `Trace: the first coordinate of the last ${plural(points.length, "draw")}.` },
    leftAxis(y, { x: left, right, count: 3, title: "first coordinate" }),
    bottomAxis(x, { y: bottom, count: 4, title: "step" }),
    el("path", { class: "bnn-line bnn-chain", d: line()(points) }),
    ...points.map(([cx, cy], i) => (trace[first + i] ? el("circle", { class: "bnn-accepted", cx, cy, r: 2.5 })
      : el("path", { class: "bnn-rejected", d: `M${cx},${cy}m-3,-3l6,6m0,-6l-6,6` })))));
  }

  function drawHistogram(size) {
    const { left, right, top, bottom } = inner(size);
    const { p } = chosenTarget();
    const [low, high] = p.limits[0];
    const x = scaleLinear([low, high], [left, right]);
    const grid = Array.from({ length: 161 }, (_, i) => low + ((high - low) * i) / 160);
    const heights = histogram(draws.map((draw) => draw[0]), low, high, SHOWN.bins);
    // The exact density keeps its height; a short histogram may grow out of the picture.
    const y = scaleLinear([0, 1.5 * Math.max(...grid.map(p.marginal))], [bottom, top]).clamp(true);
    const bin = (right - left) / SHOWN.bins;
    boards.histogram.replaceChildren(el("svg", { ...size, role: "img",
      "aria-label": `Histogram of the first coordinate of ${plural(draws.length, "draw")}, with its exact density.` },
    leftAxis(y, { x: left, right, count: 3, title: "density" }),
    ...[...heights].map((h, i) => el("rect", { class: "bnn-bar-of-draws", x: left + i * bin, y: y(h),
      width: Math.max(0, bin - 1), height: bottom - y(h) })),
    el("path", { class: "bnn-line bnn-truth", d: line()(grid.map((v) => [x(v), y(p.marginal(v))])) }),
    bottomAxis(x, { y: bottom, title: "first coordinate" })));
  }

  const sample = (text, ...marks) => el("li", {},
    el("svg", { width: 30, height: 18, "aria-hidden": "true" }, ...marks), text);
  const legend = el("ul", { class: "bnn-legend" },
    sample("where the chain is", el("rect", { class: "bnn-here", x: 7, y: 1, width: 16, height: 16 })),
    sample("accepted", el("circle", { class: "bnn-accepted", cx: 15, cy: 9, r: 6 })),
    sample("rejected", el("path", { class: "bnn-rejected", d: "M9,3l12,12m0,-12l-12,12" })),
    sample("last step", el("path", { class: "bnn-way", d: "M1,9h28" }),
      el("circle", { class: "bnn-leap", cx: 15, cy: 9, r: 2.5 })),
    sample("slice’s bracket, misses", el("path", { class: "bnn-bracket", d: "M1,9h28" }),
      el("path", { class: "bnn-miss", d: "M12,6l6,6m0,-6l-6,6" })),
    sample("exact density", el("path", { class: "bnn-line bnn-truth", d: "M1,9h28" })));

  change({}, { silent: true });
  stage.replaceChildren(
    el("div", { class: "bnn-controls" }, controls.sampler.node, controls.target.node, controls.step.node,
      controls.leaps.node),
    el("div", { class: "bnn-buttons" }, one, jump, play, reset, controls.seed.node),
    el("div", { class: "bnn-sampler-panels" }, boards.walk, el("div", {}, boards.trace, boards.histogram)),
    readout, legend, live.node);
  for (const [name, node] of Object.entries(boards)) {
    drawWhenSized(node, (width, height) => { sizes[name] = { width, height }; show({ silent: true }); });
  }
}
