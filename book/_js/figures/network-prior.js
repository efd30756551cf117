// Width, scale of the inner weights, activation and noise by hand: functions drawn from the prior on
// one side, the posterior given a few data on the other, sampled while one looks.
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { bottomAxis, button, choice, drawWhenSized, el, leftAxis, liveText, slider } from "./dom.js";
import { ACTIVATIONS, checked, grid, normalSource, outputs, posterior, priorDraw, summary }
  from "./network-prior-math.js";

const MARGIN = { top: 28, right: 10, bottom: 44, left: 34 };
const WIDTHS = [1, 2, 3, 5, 10, 20, 50, 100];
const INNER = [0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20];
const NOISE = [0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1];
const SHOWN = 6;
const BUDGET = 12;
const LEGEND = [["line", "prior", "drawn from the prior"], ["rect", "line-band", "95 % band of the posterior"],
  ["line", "posterior", "posterior mean"], ["line", "draw", "drawn from the posterior"]];
const names = Object.keys(ACTIVATIONS);

export function mount(stage, data) {
  const initial = checked({ ...data });
  let settings = { ...initial };
  let seed = initial.seed;
  let run = null;
  let timer = 0;
  let shown = { prior: [], posterior: null };
  const x = grid(initial);
  const sizes = {};
  const panels = { prior: el("div", { class: "bnn-plot" }), posterior: el("div", { class: "bnn-plot" }) };
  const live = liveText();
  const cells = {};
  const readout = el("div", { class: "bnn-readout" }, el("dl", {},
    ...[["unknowns", "Unknowns"], ["draws", "Draws"], ["gap", "Width of the band in the gap"],
      ["rHat", "Worst R̂ of f"]].map(([name, text]) =>
      el("div", {}, el("dt", {}, text), cells[name] = el("dd", {})))));

  const change = (next) => { settings = { ...settings, ...next }; restart(); };
  const steps = (label, name, values, show = String) => slider({ label, min: 0, max: values.length - 1,
    step: 1, value: Math.max(0, values.indexOf(settings[name])), show: (i) => show(values[i]),
    onChange: (i) => change({ [name]: values[i] }) });
  const controls = {
    width: steps("Hidden units", "width", WIDTHS),
    inner_scale: steps("Scale of the inner weights", "inner_scale", INNER),
    noise_sd: steps("Noise sd", "noise_sd", NOISE),
    activation: choice({ label: "Activation", options: names,
      onChange: (i) => change({ activation: names[i] }) }),
  };
  const values = { width: WIDTHS, inner_scale: INNER, noise_sd: NOISE, activation: names };
  const show = () => {
    for (const [name, control] of Object.entries(controls)) control.set(values[name].indexOf(settings[name]));
  };
  const again = button("Draw again", () => { seed += 1; restart(); });
  const reset = button("Reset", () => { settings = { ...initial }; seed = initial.seed; show(); restart(); });

  function restart({ silent = false } = {}) {
    clearTimeout(timer);
    const normal = normalSource(seed);
    shown = { posterior: null,
      prior: Array.from({ length: SHOWN }, () => outputs(settings, x, priorDraw(settings, normal))) };
    run = posterior(settings, seed, x);
    cells.unknowns.textContent = String(3 * settings.width + 1);
    for (const name of ["draws", "gap", "rHat"]) cells[name].textContent = "…";
    paint();
    timer = setTimeout(() => work(silent), 0);
  }

  /** Some sweeps at a time, so that the page stays alive; the band appears once there are draws. */
  function work(silent) {
    const until = performance.now() + BUDGET;
    let more = true;
    while (more && performance.now() < until) more = run.work();
    if (more) timer = setTimeout(() => work(silent), 0);
    else finish(silent);
  }

  function finish(silent) {
    const { rows, rHat } = summary(run.curves);
    const all = run.curves.flat();
    const drawn = Array.from({ length: SHOWN }, (_, i) => all[Math.floor((i * all.length) / SHOWN)]);
    shown.posterior = { rows, drawn };
    const middle = rows[Math.floor(rows.length / 2)];
    const gap = (middle.upper - middle.lower).toFixed(2);
    cells.draws.textContent = String(all.length);
    cells.gap.textContent = gap;
    cells.rHat.textContent = rHat.toFixed(2);
    if (!silent) {
      live.say(`${settings.width} hidden units, ${settings.activation}, inner scale ${settings.inner_scale}, `
        + `noise ${settings.noise_sd}: the band in the gap is ${gap} wide; the worst R̂ of f is ${rHat.toFixed(2)}`
        + `${rHat > 1.1 ? ", so the chains disagree and the band is not to be trusted" : ""}.`);
    }
    paint();
  }

  function paint() {
    for (const name of Object.keys(panels)) if (sizes[name]) draw(name, sizes[name]);
  }

  function draw(name, { width, height }) {
    const [left, right, bottom] = [MARGIN.left, width - MARGIN.right, height - MARGIN.bottom];
    const across = scaleLinear([initial.x_low, initial.x_high], [left, right]);
    const up = scaleLinear([initial.y_low, initial.y_high], [bottom, MARGIN.top]);
    const curve = (f, className) => el("path", { class: `bnn-line ${className}`,
      d: line().x((_, i) => across(x[i])).y((value) => up(value))(f) });
    const marks = name === "prior" ? shown.prior.map((f) => curve(f, "bnn-prior"))
      : posteriorMarks(curve, across, up);
    const label = name === "prior" ? `${SHOWN} functions drawn from the prior.`
      : "The data, the 95 per cent band of the posterior of f, its mean, and draws from it.";
    const box = { x: left, y: MARGIN.top, width: right - left, height: bottom - MARGIN.top };
    panels[name].replaceChildren(el("svg", { width, height, role: "img", "aria-label": label },
      leftAxis(up, { x: left, right, title: name === "prior" ? "f(x), prior" : "f(x), posterior" }),
      el("svg", { ...box, class: "bnn-inside", viewBox: Object.values(box).join(" ") }, ...marks),
      bottomAxis(across, { y: bottom, title: "x" })));
  }

  function posteriorMarks(curve, across, up) {
    const points = initial.x.map((at, i) => el("circle", { class: "bnn-point", cx: across(at),
      cy: up(initial.y[i]), r: 4 }));
    if (!shown.posterior) return points;
    const { rows, drawn } = shown.posterior;
    return [
      el("path", { class: "bnn-line-band", d: area().x((_, i) => across(x[i]))
        .y0((row) => up(row.lower)).y1((row) => up(row.upper))(rows) }),
      ...drawn.map((f) => curve(f, "bnn-draw")),
      curve(rows.map((row) => row.mean), "bnn-posterior"), ...points];
  }

  const legend = el("ul", { class: "bnn-legend" }, ...LEGEND.map(([mark, name, text]) =>
    el("li", {}, el("svg", { width: 30, height: 12, "aria-hidden": "true" },
      mark === "line" ? el("line", { class: `bnn-line bnn-${name}`, x1: 1, x2: 29, y1: 6, y2: 6 })
        : el("rect", { class: `bnn-${name}`, x: 1, y: 1, width: 28, height: 10 })), text)));
  stage.replaceChildren(
    el("div", { class: "bnn-controls" }, ...Object.values(controls).map((control) => control.node)),
    el("div", { class: "bnn-buttons" }, again, reset),
    el("div", { class: "bnn-pair" }, panels.prior, panels.posterior), legend, readout, live.node);
  show();
  restart({ silent: true });
  for (const [name, node] of Object.entries(panels)) {
    drawWhenSized(node, (width, height) => { sizes[name] = { width, height }; paint(); });
  }
}
