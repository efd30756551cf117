// Flip a coin one flip at a time: the prior fades, the posterior narrows towards the truth.
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { bottomAxis, button, drawWhenSized, el, leftAxis, liveText, reducedMotion, slider, wholeNumber }
  from "./dom.js";
import { STRENGTHS, checked, curves, state } from "./beta-updating-math.js";

const MARGIN = { top: 44, right: 12, bottom: 44, left: 34 };
const two = (value) => value.toFixed(2);
const three = (value) => value.toFixed(3);
const LEGEND = [["prior", "prior"], ["likelihood", "likelihood, scaled to area 1"],
  ["posterior", "posterior"], ["truth", "the coin’s true probability"]];

export function mount(stage, data) {
  const initial = checked({ ...data });
  let settings = { ...initial };
  let count = 0;
  let size = null;
  let timer = 0;

  const plot = el("div", { class: "bnn-plot" });
  const live = liveText();
  const cells = Object.fromEntries(["flips", "mean", "sd", "interval", "weight"].map(
    (name) => [name, el("dd", {})]));
  // No class on the list itself: the theme indents the lists that have one.
  const readout = el("div", { class: "bnn-readout" }, el("dl", {},
    ...[["flips", "Heads / flips"], ["mean", "Posterior mean"], ["sd", "Posterior sd"],
      ["interval", "95 % interval"], ["weight", "Prior’s weight"]].map(
      ([name, text]) => el("div", {}, el("dt", {}, text), cells[name]))));

  const change = (name) => (value) => { settings = { ...settings, [name]: value }; show(); };
  const nearest = (strength) => STRENGTHS.reduce(
    (best, s, i) => (Math.abs(s - strength) < Math.abs(STRENGTHS[best] - strength) ? i : best), 0);
  const plural = (n) => `${n} ${n === 1 ? "flip" : "flips"}`;
  const controls = {
    prior_mean: slider({ label: "Prior mean", min: 0.05, max: 0.95, step: 0.01,
      value: settings.prior_mean, show: two, onChange: change("prior_mean") }),
    prior_strength: slider({ label: "Prior worth", min: 0, max: STRENGTHS.length - 1, step: 1,
      value: nearest(settings.prior_strength), show: (i) => plural(STRENGTHS[i]),
      onChange: (i) => change("prior_strength")(STRENGTHS[i]) }),
    truth: slider({ label: "Truth: P(heads)", min: 0, max: 1, step: 0.01, value: settings.truth,
      show: two, onChange: change("truth") }),
    seed: wholeNumber({ label: "Seed", min: 0, max: 9999, value: settings.seed,
      onChange: change("seed") }),
  };
  settings.prior_strength = STRENGTHS[nearest(settings.prior_strength)];

  const add = (number) => { count = Math.min(count + number, settings.max_flips); show(); };
  const play = button("Play", () => (timer ? pause() : start()), { class: "bnn-play" });
  const adders = [1, 10, 100].map((number) =>
    button(`+${number}`, () => add(number), { "aria-label": `Flip ${number} more` }));
  const reset = button("Reset", () => {
    pause();
    settings = { ...initial, prior_strength: STRENGTHS[nearest(initial.prior_strength)] };
    count = 0;
    for (const name of ["prior_mean", "truth", "seed"]) controls[name].set(settings[name]);
    controls.prior_strength.set(nearest(settings.prior_strength));
    show();
  });

  function start() {
    if (count >= settings.max_flips) count = 0;
    play.textContent = "Pause";
    // One flip at a time at first; later by a twentieth, or the narrowing would take an hour.
    const calm = reducedMotion();
    timer = setInterval(() => {
      add(Math.max(calm ? 5 : 1, Math.round(count / (calm ? 4 : 20))));
      if (count >= settings.max_flips) pause();
    }, calm ? 1500 : 180);
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  function show({ silent = false } = {}) {
    const current = state(settings, count);
    const { heads, posterior } = current;
    const interval = `${three(posterior.lower)} to ${three(posterior.upper)}`;
    const weight = `${(100 * current.prior_weight).toFixed(current.prior_weight < 0.1 ? 1 : 0)} %`;
    cells.flips.textContent = `${heads} / ${count}`;
    cells.mean.textContent = three(posterior.mean);
    cells.sd.textContent = three(posterior.sd);
    cells.interval.textContent = interval;
    cells.weight.textContent = weight;
    for (const adder of adders) adder.disabled = count >= settings.max_flips;
    if (!silent) live.say(`After ${plural(count)} with ${heads} heads: posterior mean ${three(posterior.mean)}, `
      + `standard deviation ${three(posterior.sd)}, 95 % interval ${interval}. `
      + `The prior's weight is ${weight}.`);
    if (size) draw(current);
  }

  function draw(current) {
    const { width, height } = size;
    const shapes = curves(current);
    const x = scaleLinear([0, 1], [MARGIN.left, width - MARGIN.right]);
    // A U-shaped prior is infinite at the ends: only finite heights set the scale.
    const inner = (values) => values.filter((_, i) => shapes.x[i] > 0.01 && shapes.x[i] < 0.99);
    const top = Math.max(2, ...["prior", "likelihood", "posterior"].flatMap((k) => inner(shapes[k])));
    const y = scaleLinear([0, top * 1.06], [height - MARGIN.bottom, MARGIN.top]);
    const clamp = (value) => Math.max(y(value), MARGIN.top - 2);
    const path = (values) => line().x((_, i) => x(shapes.x[i])).y(clamp)(values);
    const fill = area().x((_, i) => x(shapes.x[i])).y0(y(0)).y1(clamp)(shapes.posterior);
    const bottom = y(0);
    const { lower, upper, mean } = current.posterior;
    const description = `Curves over the probability of heads after ${plural(current.count)}: the `
      + `posterior has its mean at ${two(mean)}, the prior at ${two(current.prior.mean)}, `
      + `the truth is ${two(settings.truth)}.`;
    plot.replaceChildren(el("svg", { width, height, role: "img", "aria-label": description },
      leftAxis(y, { x: MARGIN.left, right: width - MARGIN.right, title: "density" }),
      bottomAxis(x, { y: bottom, title: "probability of heads, θ" }),
      el("path", { class: "bnn-area bnn-posterior", d: fill }),
      el("path", { class: "bnn-line bnn-posterior", d: path(shapes.posterior) }),
      // Dashes on top, so that they show where they lie on the posterior.
      el("path", { class: "bnn-line bnn-prior", d: path(shapes.prior) }),
      el("path", { class: "bnn-line bnn-likelihood", d: path(shapes.likelihood) }),
      el("line", { class: "bnn-line bnn-truth", x1: x(settings.truth), x2: x(settings.truth),
        y1: bottom, y2: MARGIN.top }),
      el("line", { class: "bnn-interval", x1: x(lower), x2: x(upper), y1: bottom, y2: bottom }),
      strip(current.outcomes, width)));
  }

  /** The latest flips as a row of discs, heads filled, tails hollow. */
  function strip(outcomes, width) {
    const gap = 13;
    const latest = outcomes.slice(-Math.floor((width - 92 - MARGIN.right) / gap));
    const discs = latest.map((head, i) => el("circle", { cx: 96 + i * gap, cy: 11, r: 4.5,
      class: head ? "bnn-head" : "bnn-tail" }));
    return el("g", {}, el("text", { x: 0, y: 15 }, "latest flips"), ...discs);
  }

  const legend = el("ul", { class: "bnn-legend" }, ...LEGEND.map(([name, text]) =>
    el("li", {}, el("svg", { width: 30, height: 12, "aria-hidden": "true" },
      el("line", { class: `bnn-line bnn-${name}`, x1: 1, x2: 29, y1: 6, y2: 6 })), text)));
  stage.replaceChildren(
    el("div", { class: "bnn-controls" }, controls.prior_mean.node, controls.prior_strength.node,
      controls.truth.node),
    el("div", { class: "bnn-buttons" }, ...adders, play, reset, controls.seed.node),
    plot, legend, readout, live.node);
  drawWhenSized(plot, (width, height) => {
    size = { width, height };
    draw(state(settings, count));
  });
  show({ silent: true });
}
