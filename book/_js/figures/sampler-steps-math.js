// The arithmetic of the figure "sampler-steps": densities in the plane, those of
// bnnbook.models.targets_2d, and four samplers on them, one step at a time. Each step says what was
// tried and what it cost, so that the figure can show it.
import { uniformSource } from "./stats.js";

const HALF_LOG_TWO_PI = 0.9189385332046727;
/** Stan's: a trajectory whose energy is off by more has left the target. */
const MAX_ENERGY_ERROR = 1000;
/** A slice's bracket grows to at most this many widths. */
const MAX_WIDTHS = 100;

function between(name, value, low, high) {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new RangeError(`${name} must be between ${low} and ${high}, got ${value}`);
  }
}

const whole = (name, value, low, high) => {
  between(name, value, low, high);
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be a whole number, got ${value}`);
};

/** Throw where a setting is missing or out of its range; return the settings. */
export function checked(settings) {
  if (!settings.targets?.length) throw new RangeError("targets must hold at least one target");
  settings.targets.forEach(target);
  between("step_low", settings.step_low, 1e-3, 10);
  between("step_high", settings.step_high, 1.01 * settings.step_low, 100);
  between("step", settings.step, settings.step_low, settings.step_high);
  whole("max_leaps", settings.max_leaps, 1, 1000);
  whole("leaps", settings.leaps, 1, settings.max_leaps);
  whole("seed", settings.seed, 0, 9999);
  whole("max_steps", settings.max_steps, 1, 1e5);
  return settings;
}

const logNormal = (x, mean, sd) => -0.5 * ((x - mean) / sd) ** 2 - Math.log(sd) - HALF_LOG_TWO_PI;
const normal = (x, mean, sd) => Math.exp(logNormal(x, mean, sd));
const magnitude = (name, value) => between(name, value, 1e-3, 1e3);

// Each kind: from its parameters to its log density, gradient, the exact density and mean of its
// first coordinate. `narrow` asks for a contour grid that is dense about the middle of the second.
const KINDS = {
  "correlated normal": ([correlation]) => {
    between("correlation", correlation, -0.9999, 0.9999);
    const rest = Math.sqrt(1 - correlation ** 2);
    return {
      log: ([x, y]) => logNormal(x, 0, 1) + logNormal(y, correlation * x, rest),
      gradient: ([x, y]) =>
        [correlation * y - x, correlation * x - y].map((v) => v / (rest * rest)),
      marginal: (x) => normal(x, 0, 1), mean: 0,
    };
  },
  banana: ([curvature]) => {
    between("curvature", curvature, -100, 100);
    return {
      log: ([x, y]) => logNormal(x, 0, 1) + logNormal(y, curvature * (x * x - 1), 0.5),
      gradient: ([x, y]) => {
        const off = 4 * (y - curvature * (x * x - 1));
        return [2 * curvature * x * off - x, -off];
      },
      marginal: (x) => normal(x, 0, 1), mean: 0,
    };
  },
  funnel: ([sd]) => {
    magnitude("sd", sd);
    return {
      log: ([x, y]) => logNormal(x, 0, sd) - 0.5 * (y * Math.exp(-x)) ** 2 - x - HALF_LOG_TWO_PI,
      gradient: ([x, y]) => {
        const scaled = y * Math.exp(-x);
        return [scaled * scaled - 1 - x / (sd * sd), -scaled * Math.exp(-x)];
      },
      marginal: (x) => normal(x, 0, sd), mean: 0, narrow: true,
    };
  },
  "two bumps": ([distance, weight]) => {
    magnitude("distance", distance);
    between("weight", weight, 1e-6, 1 - 1e-6);
    const half = distance / 2;
    // By the nearer bump, so that nothing underflows; the other's share of the density at x.
    const parts = (x) => {
      const left = Math.log(weight) + logNormal(x, -half, 1);
      const right = Math.log(1 - weight) + logNormal(x, half, 1);
      const top = Math.max(left, right);
      return [top + Math.log1p(Math.exp(-Math.abs(left - right))), 1 / (1 + Math.exp(left - right))];
    };
    return {
      log: ([x, y]) => parts(x)[0] + logNormal(y, 0, 1),
      gradient: ([x, y]) => [distance * parts(x)[1] - half - x, -y],
      marginal: (x) => Math.exp(parts(x)[0]), mean: distance * (0.5 - weight),
    };
  },
};

/** The density that a setting describes, with the limits of each axis and where chains start. */
export function target({ name, parameters, limits, start }) {
  const make = KINDS[name];
  if (!make) {
    throw new RangeError(`name must be one of ${Object.keys(KINDS).join(", ")}, got ${name}`);
  }
  const made = { name, limits, start, ...make(parameters) };
  limits.forEach(([low, high]) => {
    between("limits", low, -1e4, 1e4);
    if (!(high > low)) throw new RangeError(`limits must go upwards, got ${low} to ${high}`);
  });
  start.forEach((v, i) => between("start", v, ...limits[i]));
  return made;
}

/** Two independent standard normal numbers, by Box and Muller. */
export function normals(random) {
  const radius = Math.sqrt(-2 * Math.log1p(-random()));
  const angle = 2 * Math.PI * random();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

const square = ([a, b]) => a * a + b * b;
/** x + factor · y */
const plus = (x, y, factor = 1) => [x[0] + factor * y[0], x[1] + factor * y[1]];
/** Metropolis' rule; a ratio that is not a number is a rejection. */
const accepts = (logRatio, random) => Math.log1p(-random()) < logRatio;

/** Random-walk Metropolis: a normal move of sd `step` in each coordinate. */
function walk(p, state, { step }, random) {
  const proposed = plus(state.x, normals(random), step);
  const log = p.log(proposed);
  return { proposed, log, accepted: accepts(log - state.log, random), densities: 1, gradients: 0 };
}

/** The Metropolis-adjusted Langevin algorithm: a drift uphill, then the move. */
function mala(p, state, { step }, random) {
  const noise = normals(random);
  const drifted = plus(state.x, state.gradient, (step * step) / 2);
  const proposed = plus(drifted, noise, step);
  const [log, gradient] = [p.log(proposed), p.gradient(proposed)];
  // The noise that would lead back.
  const back = plus(plus(state.x, proposed, -1), gradient, (-step * step) / 2);
  const hastings = (square(noise) - square(back) / (step * step)) / 2;
  return { proposed, log, gradient, drifted,
    accepted: accepts(log - state.log + hastings, random), densities: 1, gradients: 1 };
}

/** Hamiltonian Monte Carlo with unit masses: leapfrog steps from a fresh momentum. */
function hmc(p, state, { step, leaps }, random) {
  let [x, momentum, gradient] = [state.x, normals(random), state.gradient];
  const kinetic = square(momentum) / 2;
  const path = [x];
  while (path.length <= leaps && Number.isFinite(square(x) + square(gradient))) {
    const middle = plus(momentum, gradient, step / 2);
    x = plus(x, middle, step);
    gradient = p.gradient(x);
    momentum = plus(middle, gradient, step / 2);
    path.push(x);
  }
  const log = p.log(x);
  const ratio = log - state.log + kinetic - square(momentum) / 2;
  return { proposed: x, log, gradient, path, accepted: accepts(ratio, random),
    diverged: !(ratio > -MAX_ENERGY_ERROR), densities: 1, gradients: path.length - 1 };
}

/** Slice sampling, one coordinate after the other: step out, then shrink (Neal 2003). */
function slice(p, state, { step: width }, random) {
  let { x, log } = state;
  const [path, brackets, misses] = [[x], [], []];
  let densities = 0;
  for (const axis of [0, 1]) {
    const height = log + Math.log1p(-random());
    const at = (value) => (axis ? [x[0], value] : [value, x[1]]);
    const inside = (value) => { densities++; log = p.log(at(value)); return log > height; };
    let low = x[axis] - width * random();
    let high = low + width;
    let toTheLeft = Math.floor(MAX_WIDTHS * random());
    let toTheRight = MAX_WIDTHS - 1 - toTheLeft;
    while (toTheLeft-- > 0 && inside(low)) low -= width;
    while (toTheRight-- > 0 && inside(high)) high += width;
    brackets.push([at(low), at(high)]);
    for (;;) {
      const tried = low + (high - low) * random();
      if (inside(tried) || tried === x[axis]) {
        x = at(tried);
        break;
      }
      misses.push(at(tried));
      if (tried < x[axis]) low = tried;
      else high = tried;
    }
    path.push(x);
  }
  return { proposed: x, log, path, brackets, misses, accepted: true, densities, gradients: 0 };
}

/** The samplers by name, with what the step size means for each. */
export const SAMPLERS = {
  walk: { name: "random-walk Metropolis", step: "Step size", kernel: walk },
  slice: { name: "slice, by coordinate", step: "Bracket width", kernel: slice },
  mala: { name: "MALA", step: "Step size", kernel: mala, uphill: true },
  hmc: { name: "HMC", step: "Step size", kernel: hmc, uphill: true },
};

/**
 * A chain at its start. Everything it will do is a function of the target and the settings
 * { sampler, step, leaps, seed }.
 */
export function begin(p, settings) {
  const { kernel, uphill } = SAMPLERS[settings.sampler];
  const random = uniformSource(settings.seed);
  for (let i = 0; i < 8; i++) random(); // neighbouring seeds have similar first numbers
  const state = { x: p.start, log: p.log(p.start), gradient: uphill && p.gradient(p.start) };
  const chain = { x: p.start, steps: 0, accepted: 0, densities: 1, gradients: uphill ? 1 : 0, sum: 0 };
  chain.advance = () => {
    const tried = kernel(p, state, settings, random);
    tried.from = state.x;
    if (tried.accepted) {
      [state.x, state.log, state.gradient] = [tried.proposed, tried.log, tried.gradient];
    }
    chain.x = state.x;
    chain.steps++;
    chain.accepted += Number(tried.accepted);
    chain.densities += tried.densities;
    chain.gradients += tried.gradients;
    chain.sum += chain.x[0];
    return tried;
  };
  return chain;
}

/** The chain's positions after each of so many steps, for checks. */
export function run(p, settings, count) {
  const chain = begin(p, settings);
  const draws = Array.from({ length: count }, () => { chain.advance(); return chain.x; });
  return { draws, chain };
}

/** Heights of a histogram of area one; what lies outside counts, but is not shown. */
export function histogram(values, low, high, bins) {
  const heights = new Float64Array(bins);
  const width = (high - low) / bins;
  for (const v of values) {
    const bin = Math.floor((v - low) / width);
    if (bin >= 0 && bin < bins) heights[bin] += 1 / (values.length * width);
  }
  return heights;
}

/** The density on a grid over its limits, the first coordinate running fastest, and its top. */
export function surface(p, points = 81) {
  const [xs, ys] = p.limits.map(([low, high], axis) => Array.from({ length: points }, (_, i) => {
    const t = (2 * i) / (points - 1) - 1;
    return (low + high) / 2 + ((high - low) / 2) * (axis && p.narrow ? t ** 3 : t);
  }));
  const logs = ys.flatMap((y) => xs.map((x) => p.log([x, y])));
  const top = logs.reduce((a, b) => Math.max(a, b));
  return { xs, ys, values: logs.map((v) => Math.exp(v - top)) };
}
