// The arithmetic of the figure "kl-drag": how far a normal q with a mean and a scale that the reader
// drags is from a density p on a line, in both senses, and the ELBO. Each kind of p brings its log
// density, the slope of that, its mean and variance, and `marks`: where its log density bends, and
// on what scale. What has a closed form uses it; the rest is Gauss–Legendre quadrature on panels that
// are narrow where q or p is.
import { logBeta, logGamma } from "./stats.js";

export { contour } from "./contour.js";

const HALF_LOG_TWO_PI = 0.9189385332046727;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const RANGES = {
  log_evidence: [-1e6, 1e6], mean: [-1e6, 1e6], mean_low: [-1e6, 1e6], mean_high: [-1e6, 1e6],
  sd: [1e-4, 1e4], sd_low: [1e-4, 1e4], sd_high: [1e-4, 1e4],
};

function between(name, value, low, high) {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new RangeError(`${name} must be between ${low} and ${high}, got ${value}`);
  }
}

/** Throw where a setting is missing or out of its range; return the settings. */
export function checked(settings) {
  for (const [name, [low, high]] of Object.entries(RANGES)) between(name, settings[name], low, high);
  for (const name of ["mean", "sd"]) {
    const [low, high] = [settings[`${name}_low`], settings[`${name}_high`]];
    if (high <= low) throw new RangeError(`${name}_high must be above ${low}, got ${high}`);
    between(name, settings[name], low, high);
  }
  if (!settings.targets?.length) throw new RangeError("targets must hold at least one target");
  settings.targets.forEach(target);
  return settings;
}

/** The density p that a setting describes: one of three kinds. */
export function target(description) {
  const make = KINDS[description.kind];
  if (!make) {
    throw new RangeError(`kind must be one of ${Object.keys(KINDS).join(", ")}, got ${description.kind}`);
  }
  const made = make(description);
  made.negentropy ??= sum(legendre(edges(made.marks, made.low, made.high), (x) => {
    const log = made.log(x);
    return log > -700 ? Math.exp(log) * log : 0;
  }));
  return { name: description.name, ...made };
}

const KINDS = { mixture, "log-gamma": logGammaVariable, student };

/** A mixture of normals; of one, a normal. */
function mixture({ weights, means, sds }) {
  weights.forEach((w) => between("weight", w, 1e-6, 1));
  means.forEach((m) => between("mean", m, -1e6, 1e6));
  sds.forEach((s) => between("sd", s, 1e-4, 1e4));
  if (means.length !== weights.length || sds.length !== weights.length) {
    throw new RangeError("weights, means and sds must have the same length");
  }
  const total = sum(weights);
  const parts = weights.map((w, i) => ({ weight: w / total, mean: means[i], sd: sds[i],
    log: Math.log(w / total) - Math.log(sds[i]) - HALF_LOG_TWO_PI }));
  const mean = sum(parts.map((p) => p.weight * p.mean));
  const logs = new Float64Array(parts.length);
  // Log density and slope by the heaviest part at x, so that nothing underflows.
  const shares = (x) => {
    let top = -Infinity;
    for (let i = 0; i < parts.length; i++) {
      logs[i] = parts[i].log - 0.5 * ((x - parts[i].mean) / parts[i].sd) ** 2;
      top = Math.max(top, logs[i]);
    }
    let [total, slope] = [0, 0];
    for (let i = 0; i < parts.length; i++) {
      const share = Math.exp(logs[i] - top);
      total += share;
      slope += (share * (parts[i].mean - x)) / parts[i].sd ** 2;
    }
    return [top + Math.log(total), slope / total];
  };
  return {
    log: (x) => shares(x)[0],
    slope: (x) => shares(x)[1],
    mean,
    variance: sum(parts.map((p) => p.weight * (p.sd ** 2 + (p.mean - mean) ** 2))),
    marks: [...parts.map((p) => [p.mean, p.sd]), ...crossings(parts)],
    low: Math.min(...parts.map((p) => p.mean - 40 * p.sd)),
    high: Math.max(...parts.map((p) => p.mean + 40 * p.sd)),
    starts: parts.map((p) => [p.mean, p.sd]),
  };
}

/** Where two parts of a mixture weigh the same, its log density bends: how sharply is their slopes'. */
function crossings(parts) {
  return parts.flatMap((p, i) => parts.slice(i + 1).flatMap((q) => {
    const [u, v] = [1 / p.sd ** 2, 1 / q.sd ** 2];
    const [a, b] = [(v - u) / 2, u * p.mean - v * q.mean];
    const c = p.log - q.log - (u * p.mean ** 2 - v * q.mean ** 2) / 2;
    const root = Math.sqrt(b * b - 4 * a * c);
    if (!(root > 0)) return [];
    const half = -0.5 * (b + Math.sign(b || 1) * root);
    return [half / a, c / half].filter(Number.isFinite).map((x) => [x, Math.PI / root]);
  }));
}

/** The logarithm of a gamma variable, a log x − b eˣ + constant: skewed, with a thick left tail. */
function logGammaVariable({ shape: a, rate: b }) {
  between("shape", a, 0.1, 1000);
  between("rate", b, 1e-6, 1e6);
  const constant = a * Math.log(b) - logGamma(a);
  const [mean, sd] = [polygamma(0, a) - Math.log(b), Math.sqrt(polygamma(1, a))];
  return {
    log: (x) => constant + a * x - b * Math.exp(x),
    slope: (x) => a - b * Math.exp(x),
    mean, variance: sd * sd, marks: [[mean, sd]], starts: [[mean, sd]],
    negentropy: constant + a * mean - a,
    // Under a normal: of the log density, of its slope, and of slope · z.
    average: (m, s) => {
      const exponential = b * Math.exp(m + (s * s) / 2);
      return [constant + a * m - exponential, a - exponential, -exponential * s];
    },
  };
}

/** Student's t. Its mean needs more than one degree of freedom, its variance more than two. */
function student({ dof, location, scale }) {
  between("dof", dof, 0.5, 1e4);
  between("location", location, -1e6, 1e6);
  between("scale", scale, 1e-4, 1e4);
  const constant = -logBeta(dof / 2, 0.5) - 0.5 * Math.log(dof) - Math.log(scale);
  const width = scale * Math.sqrt(dof);
  const gap = polygamma(0, (dof + 1) / 2) - polygamma(0, dof / 2);
  return {
    log: (x) => constant - (dof + 1) * Math.log(Math.hypot(1, (x - location) / width)),
    slope: (x) => {
      const t = (x - location) / width;
      return (-(dof + 1) / width) * (t / (1 + t * t));
    },
    mean: dof > 1 ? location : NaN,
    variance: dof > 2 ? (scale * scale * dof) / (dof - 2) : Infinity,
    marks: [[location, width]], starts: [[location, scale]],
    negentropy: constant - ((dof + 1) / 2) * gap,
  };
}

/** ψ (order 0) or ψ′ (order 1): shifted above 12, then the asymptotic series. */
export function polygamma(order, x) {
  let shifted = 0;
  for (; x < 12; x++) shifted += order ? 1 / (x * x) : -1 / x;
  const r = 1 / (x * x);
  const series = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6];
  const rest = (weight) => series.reduceRight((total, term, i) => r * (weight(i) * term + total), 0);
  if (order) return shifted + 1 / x + r / 2 + rest(() => 1) / x;
  return shifted + Math.log(x) - 0.5 / x - rest((i) => 1 / (2 * i + 2));
}

// Gauss–Legendre nodes and weights on [−1, 1], by Newton's steps.
const [NODES, WEIGHTS] = (() => {
  const n = 16;
  const pairs = Array.from({ length: n }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let step = 0; step < 10; step++) {
      let [last, now] = [1, x];
      for (let k = 2; k <= n; k++) [last, now] = [now, ((2 * k - 1) * x * now - (k - 1) * last) / k];
      slope = (n * (x * now - last)) / (x * x - 1);
      x -= now / slope;
    }
    return [x, 2 / ((1 - x * x) * slope * slope)];
  });
  return [0, 1].map((k) => pairs.map((pair) => pair[k]));
})();

/** Ends of panels between low and high, close together near each mark [centre, scale]. */
function edges(marks, low, high) {
  const ends = [low, high];
  for (const [centre, scale] of marks) {
    ends.push(centre);
    for (let step = scale / 2; step < high - low + Math.abs(centre - low); step *= 2) {
      ends.push(centre - step, centre + step);
    }
  }
  return ends.filter((x) => x >= low && x <= high).sort((a, b) => a - b);
}

/** The integrals of f over the panels. */
function legendre(ends, f) {
  return ends.slice(1).map((end, i) => {
    const [middle, half] = [(end + ends[i]) / 2, (end - ends[i]) / 2];
    if (half === 0) return 0;
    let total = 0;
    for (let k = 0; k < NODES.length; k++) total += WEIGHTS[k] * f(middle + half * NODES[k]);
    return half * total;
  });
}

/** q's average of f(x, z) for q = N(m, s) and z = (x − m)/s. */
function average(p, m, s, f) {
  // In units of q, so that a tiny scale loses nothing. Beyond ±10 the weight is below 1e-22.
  const grid = Array.from({ length: 11 }, (_, i) => 2 * i - 10);
  const marks = p.marks.map(([centre, scale]) => [(centre - m) / s, scale / s]);
  const ends = [...grid, ...edges(marks, -10, 10)].sort((a, b) => a - b);
  return sum(legendre(ends, (z) => Math.exp(-0.5 * z * z - HALF_LOG_TWO_PI) * f(m + s * z, z)));
}

/** q's average of p's log density; −Infinity where that is beyond the range of numbers. */
export const averageLog = (p, m, s) => p.average?.(m, s)[0] ?? average(p, m, s, p.log);

/** The natural gradient downhill on KL(q‖p), in m and log s: over the Fisher information 1/s², 2. */
export function downhill(p, m, s) {
  const [slope, pull] = p.average?.(m, s).slice(1)
    ?? [average(p, m, s, p.slope), average(p, m, s, (x, z) => p.slope(x) * z)];
  return [s * s * slope, (1 + s * pull) / 2];
}

const entropy = (s) => HALF_LOG_TWO_PI + 0.5 + Math.log(s);

/** KL(q‖p): q's average of log q − log p; Infinity where it is beyond the range of numbers. */
export const seeking = (p, m, s) => Math.max(0, -entropy(s) - averageLog(p, m, s));

/** KL(p‖q): p's average of log p − log q, from p's mean and variance; infinite if p has none. */
export function covering(p, m, s) {
  if (p.variance === Infinity) return Infinity;
  const square = (Math.sqrt(p.variance) / s) ** 2 + ((p.mean - m) / s) ** 2;
  return Math.max(0, p.negentropy + HALF_LOG_TWO_PI + Math.log(s) + 0.5 * square);
}

/** The ELBO: q's average of log(Z p) − log q, for the density Z p, which is not normalised. */
export function elbo(p, logEvidence, m, s) {
  const joint = p.average ? averageLog(p, m, s) + logEvidence
    : average(p, m, s, (x) => p.log(x) + logEvidence);
  return joint + entropy(s);
}

/** All that the figure says of q = N(m, s). */
export function state(p, logEvidence, m, s) {
  return { seeking: seeking(p, m, s), covering: covering(p, m, s),
    elbo: elbo(p, logEvidence, m, s), no_variance: p.variance === Infinity };
}

/** The normal nearest in the sense of KL(p‖q): the one with p's mean and sd; null if p has none. */
export const momentMatch = (p) =>
  (p.variance === Infinity ? null : [p.mean, Math.sqrt(p.variance)]);

/**
 * Go downhill on KL(q‖p) from q = N(m, s), by natural gradients in short steps, so that it stays in
 * the valley where it starts. Returns the path, whose last entry is the minimum.
 */
export function descend(p, start, limit = 500) {
  let [m, s] = start;
  let value = seeking(p, m, s);
  const path = [[m, s]];
  for (let i = 0; i < limit; i++) {
    const move = downhill(p, m, s);
    const size = Math.max(Math.abs(move[0]) / s, Math.abs(move[1]));
    if (size < 1e-4) {
      const end = newton(p, m, s);
      if (end) return [...path, end];
      // A saddle: leave it by the side that is lower.
      m = [m - 0.02 * s, m + 0.02 * s].sort((a, b) => seeking(p, a, s) - seeking(p, b, s))[0];
      value = seeking(p, m, s);
      continue;
    }
    let next = null;
    for (let share = Math.min(1, 0.15 / size); !next && share > 1e-9; share /= 2) {
      const to = [m + share * move[0], s * Math.exp(share * move[1])];
      const there = seeking(p, ...to);
      // Lower, and not beyond the bottom of the valley, or the path would zigzag across it.
      const onward = downhill(p, ...to);
      const ahead = (onward[0] * move[0]) / to[1] ** 2 + 2 * onward[1] * move[1] >= 0;
      if (there < value && ahead) next = [to, there];
    }
    if (!next) break;
    [[m, s], value] = next;
    path.push([m, s]);
  }
  return path;
}

/** The minimum next to a point, by Newton's steps; null where there is none. */
function newton(p, m, s) {
  const h = 1e-4;
  const at = (u) => downhill(p, m + s * u[0], s * Math.exp(u[1])).map((d, i) => (i ? d : d / s));
  const u = [0, 0];
  for (let step = 0; step < 8; step++) {
    const here = at(u);
    const [left, right, below, above] = [[-h, 0], [h, 0], [0, -h], [0, h]].map(
      ([a, b]) => at([u[0] + a, u[1] + b]));
    const [a, b, c, d] = [0, 1].flatMap((k) => [(left[k] - right[k]) / (2 * h),
      (below[k] - above[k]) / (2 * h)]);
    const determinant = a * d - b * c;
    if (!(determinant > 0 && a > 0)) return null;
    u[0] += (d * here[0] - b * here[1]) / determinant;
    u[1] += (a * here[1] - c * here[0]) / determinant;
  }
  return [m + s * u[0], s * Math.exp(u[1])];
}

/** The minima of KL(q‖p) that descents from several starts find, the lowest first. */
export function minima(p) {
  const found = [];
  for (const start of [...p.starts, ...(momentMatch(p) ? [momentMatch(p)] : [])]) {
    const [m, s] = descend(p, start).at(-1);
    const same = found.some(([a, b]) => Math.abs(a - m) + Math.abs(b - s) < 1e-3 * (b + s));
    if (!same) found.push([m, s]);
  }
  return found.sort((a, b) => seeking(p, ...a) - seeking(p, ...b));
}

/** KL(q‖p) by the trapezium rule with few points: for the contours, good to three digits. */
function sketched(p, m, s) {
  if (p.average) return seeking(p, m, s);
  let total = 0;
  for (let z = -6; z <= 6; z += 0.125) total += Math.exp(-0.5 * z * z) * p.log(m + s * z);
  return -entropy(s) - total * 0.125 * Math.exp(-HALF_LOG_TWO_PI);
}

/** Both divergences on a grid of (mean, log sd), the mean running fastest. */
export function landscape(p, { mean_low, mean_high, sd_low, sd_high }, columns = 81, rows = 49) {
  const means = Array.from({ length: columns }, (_, i) =>
    mean_low + ((mean_high - mean_low) * i) / (columns - 1));
  const logs = Array.from({ length: rows }, (_, j) =>
    Math.log(sd_low) + (Math.log(sd_high / sd_low) * j) / (rows - 1));
  const on = (f) => logs.flatMap((l) => means.map((m) => f(p, m, Math.exp(l))));
  return { means, logs, seeking: on(sketched), covering: on(covering) };
}
