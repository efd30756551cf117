// The arithmetic of the figure "network-prior": networks of one hidden layer drawn from their prior,
// and from their posterior given data.
//
//   f(x) = t1 b + s1/√H Σ v_j φ(s (w_j x + c_j)),  b, v_j, w_j, c_j ~ N(0, 1),  y ~ N(f(x), σ)
//
// Given the inner weights (w, c) the rest is linear regression, so b and v are integrated out
// exactly. The inner weights of one unit after the other move by elliptical slice sampling (Murray,
// Adams and MacKay 2010), which leaves the posterior as it is and has nothing to tune.
import { uniformSource } from "./stats.js";

export const ACTIVATIONS = {
  tanh: Math.tanh,
  "rectified": (a) => Math.max(a, 0),
  sine: Math.sin,
  "none (a line)": (a) => a,
};
export const CHAINS = 4;
const TINY = 1e-10;

/** The settings, or an error that says what is wrong with them. */
export function checked(data) {
  const positive = ["inner_scale", "output_scale", "output_bias", "noise_sd"];
  for (const name of positive) {
    if (!(data[name] > 0)) throw new Error(`${name} must be positive, got ${data[name]}`);
  }
  if (!(data.width >= 1) || !Number.isInteger(data.width)) {
    throw new Error(`width must be a whole number of at least 1, got ${data.width}`);
  }
  if (!(data.activation in ACTIVATIONS)) throw new Error(`there is no activation ${data.activation}`);
  if (!data.x?.length || data.x.length !== data.y?.length) {
    throw new Error("x and y must be of one length of at least 1");
  }
  if (!(data.x_low < data.x_high)) throw new Error("x_low must be below x_high");
  return data;
}

/** A source of standard normal numbers: Box and Muller's pairs. */
export function normalSource(seed) {
  const uniform = uniformSource(seed);
  let spare = null;
  return () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** The places at which functions are looked at. */
export function grid({ x_low, x_high }, count = 71) {
  return Array.from({ length: count }, (_, i) => x_low + ((x_high - x_low) * i) / (count - 1));
}

/** What one unit gives at each x, times the scale of the weight out of it. */
function unit(settings, x, w, c) {
  const phi = ACTIVATIONS[settings.activation];
  const scale = settings.output_scale / Math.sqrt(settings.width);
  return x.map((at) => scale * phi(settings.inner_scale * (w * at + c)));
}

/** f at each x, from units (w, c), their outer weights v and the outer bias b. */
export function outputs(settings, x, { inner, outer, bias }) {
  const f = x.map(() => settings.output_bias * bias);
  inner.forEach(([w, c], j) => unit(settings, x, w, c).forEach((h, i) => { f[i] += outer[j] * h; }));
  return f;
}

/** All unknowns of one network, drawn from the prior. */
export function priorDraw(settings, normal) {
  const inner = Array.from({ length: settings.width }, () => [normal(), normal()]);
  return { inner, outer: inner.map(() => normal()), bias: normal() };
}

/** The lower Cholesky factor of a symmetric matrix of n × n, row by row. */
export function cholesky(matrix, n) {
  const root = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j];
      for (let k = 0; k < j; k++) sum -= root[i * n + k] * root[j * n + k];
      root[i * n + j] = i === j ? Math.sqrt(Math.max(sum, TINY * matrix[i * n + i]))
        : sum / root[j * n + j];
    }
  }
  return root;
}

/** L⁻¹ b. */
function forward(root, n, b) {
  const solved = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = b[i];
    for (let k = 0; k < i; k++) sum -= root[i * n + k] * solved[k];
    solved[i] = sum / root[i * n + i];
  }
  return solved;
}

/** (L Lᵀ)⁻¹ b. */
function solve(root, n, b) {
  const half = forward(root, n, b);
  const solved = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = half[i];
    for (let k = i + 1; k < n; k++) sum -= root[k * n + i] * solved[k];
    solved[i] = sum / root[i * n + i];
  }
  return solved;
}

/** The covariance of y given the inner weights, from the features of all units. */
export function covariance(settings, features) {
  const n = settings.x.length;
  const matrix = new Float64Array(n * n).fill(settings.output_bias ** 2);
  for (let i = 0; i < n; i++) matrix[i * n + i] += settings.noise_sd ** 2;
  for (const feature of features) add(matrix, n, feature, 1);
  return matrix;
}

function add(matrix, n, feature, sign) {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = sign * feature[i] * feature[j];
      matrix[i * n + j] += value;
      if (i !== j) matrix[j * n + i] += value;
    }
  }
}

/** log p(y | inner weights), by the factor of its covariance. */
export function logMarginal(settings, matrix) {
  const n = settings.x.length;
  const root = cholesky(matrix, n);
  const z = forward(root, n, settings.y);
  let log = -0.5 * n * Math.log(2 * Math.PI);
  for (let i = 0; i < n; i++) log -= 0.5 * z[i] ** 2 + Math.log(root[i * n + i]);
  return log;
}

/** A chain over the inner weights: sweep() moves each unit once, draw() gives a whole network. */
export function chain(settings, seed) {
  const { x, y, noise_sd: noise, output_bias: biasScale } = settings;
  const n = x.length;
  const normal = normalSource(seed);
  const uniform = uniformSource(seed ^ 0x5bd1e995);
  const inner = priorDraw(settings, normal).inner;
  const features = inner.map(([w, c]) => unit(settings, x, w, c));

  function sweep() {
    // Afresh, so that the rounding of many small changes does not pile up.
    let matrix = covariance(settings, features);
    let current = logMarginal(settings, matrix);
    for (let j = 0; j < inner.length; j++) {
      const level = current + Math.log(1 - uniform());
      const [w, c] = inner[j];
      const other = [normal(), normal()];
      let angle = 2 * Math.PI * uniform();
      let [low, high] = [angle - 2 * Math.PI, angle];
      for (;;) {
        const next = [w * Math.cos(angle) + other[0] * Math.sin(angle),
          c * Math.cos(angle) + other[1] * Math.sin(angle)];
        const feature = unit(settings, x, ...next);
        const moved = matrix.slice();
        add(moved, n, features[j], -1);
        add(moved, n, feature, 1);
        const log = logMarginal(settings, moved);
        if (log > level) {
          [inner[j], features[j], matrix, current] = [next, feature, moved, log];
          break;
        }
        // Back at the start, to the last digit: stay.
        if (high - low < 1e-12) break;
        if (angle < 0) low = angle;
        else high = angle;
        angle = low + (high - low) * uniform();
      }
    }
  }

  /** Outer weights and bias given the inner ones: a prior draw, corrected by what the data say. */
  function draw() {
    const outer = inner.map(() => normal());
    const bias = normal();
    const f = outputs(settings, x, { inner, outer, bias });
    const rest = y.map((value, i) => value - f[i] - noise * normal());
    const weights = solve(cholesky(covariance(settings, features), n), n, rest);
    const dot = (feature) => feature.reduce((sum, h, i) => sum + h * weights[i], 0);
    return { inner: inner.map((pair) => [...pair]),
      outer: outer.map((v, j) => v + dot(features[j])),
      bias: bias + biasScale * dot(x.map(() => 1)) };
  }

  return { sweep, draw };
}

/** How long chains run: sweeps at first, draws, and sweeps between them. */
export const plan = ({ width }) => ({ warmup: 80, draws: 150, between: width < 10 ? 5 : 2 });

/** The chains' draws of f at x, made bit by bit: work() does one sweep, `curves` grows. */
export function posterior(settings, seed, x) {
  const { warmup, draws, between } = plan(settings);
  const chains = Array.from({ length: CHAINS }, (_, i) => chain(settings, (seed + 1) * 7919 + i));
  const curves = chains.map(() => []);
  const total = warmup + draws * between;
  let done = 0;
  const work = () => {
    if (done === total) return false;
    done += 1;
    chains.forEach((one, i) => {
      one.sweep();
      if (done > warmup && (done - warmup) % between === 0) {
        curves[i].push(outputs(settings, x, one.draw()));
      }
    });
    return done < total;
  };
  return { work, curves, progress: () => done / total };
}

/** Mean and central 95 % at each x, and the worst split R̂ of f over the places. */
export function summary(curves) {
  const all = curves.flat();
  const places = all[0].map((_, i) => i);
  const rows = places.map((i) => {
    const values = Float64Array.from(all, (f) => f[i]).sort();
    const at = (p) => values[Math.min(values.length - 1, Math.floor(p * values.length))];
    return { mean: values.reduce((a, b) => a + b, 0) / values.length, lower: at(0.025), upper: at(0.975) };
  });
  return { rows, rHat: Math.max(...places.map((i) => splitRHat(curves.map((c) => c.map((f) => f[i]))))) };
}

/** Split R̂ (Gelman et al. 2013): each chain is halved, then variance between against within. */
export function splitRHat(chains) {
  const halves = chains.flatMap((c) => {
    const half = Math.floor(c.length / 2);
    return [c.slice(0, half), c.slice(c.length - half)];
  });
  const n = halves[0].length;
  if (n < 2) return NaN;
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  const variance = (v, m = mean(v)) => v.reduce((sum, a) => sum + (a - m) ** 2, 0) / (v.length - 1);
  const within = mean(halves.map((half) => variance(half)));
  return Math.sqrt((n - 1) / n + variance(halves.map((half) => mean(half))) / within);
}
