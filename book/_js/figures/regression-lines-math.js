// The arithmetic of the figure "regression-lines": the exact posterior of a line y = b₀ + b₁ x, and
// the picture of it. The prior of both coefficients has mean zero and the scale `prior_sd`. Where
// the noise is unknown, the prior is normal–inverse-gamma, worth `noise_worth` observations of a
// noise of about `noise_sd`; the normal distributions then become Student-t.
import { logBeta, studentQuantile, uniforms } from "./stats.js";

/** The scales that the two sliders offer. */
export const SCALES = [0.1, 0.2, 0.5, 1, 2, 5, 10];
/** The probability that an interval, a band and the outer contour hold; the inner holds half. */
export const LEVEL = 0.95;
const NORMAL_QUANTILE = 1.959963984540054;
const FINE = 48;

const RANGES = {
  prior_sd: [1e-3, 1e6], noise_sd: [1e-3, 1e6], noise_worth: [2, 1e6],
  truth_intercept: [-1e6, 1e6], truth_slope: [-1e6, 1e6], truth_noise_sd: [0, 1e6],
  x_low: [-1e6, 1e6], x_high: [-1e6, 1e6], y_low: [-1e6, 1e6], y_high: [-1e6, 1e6],
  seed: [0, 4294967295], max_points: [1, 1000], num_draws: [1, 100000],
};

/** Throw where a setting is missing or out of its range; return the settings. */
export function checked(settings) {
  for (const [name, [low, high]] of Object.entries(RANGES)) {
    const value = settings[name];
    if (typeof value !== "number" || !(value >= low && value <= high)) {
      throw new RangeError(`${name} must be between ${low} and ${high}, got ${value}`);
    }
  }
  for (const axis of ["x", "y"]) {
    const [low, high] = [settings[`${axis}_low`], settings[`${axis}_high`]];
    if (high <= low) throw new RangeError(`${axis}_high must be above ${low}, got ${high}`);
  }
  return settings;
}

/** The first points about the true line; the same for the same seed, however many are asked for. */
export function truePoints({ seed, x_low, x_high, truth_intercept, truth_slope, truth_noise_sd }, count) {
  const u = uniforms(seed, 3 * count);
  return Array.from({ length: count }, (_, i) => {
    const x = x_low + (x_high - x_low) * (0.04 + 0.92 * u[3 * i]);
    const normal = Math.sqrt(-2 * Math.log1p(-u[3 * i + 1])) * Math.cos(2 * Math.PI * u[3 * i + 2]);
    return [x, truth_intercept + truth_slope * x + truth_noise_sd * normal];
  });
}

/**
 * Fold the row (u, v | w) into the triangular system [[a, b], [0, c]] · coefficients = (d, e) by
 * two rotations. What is left of w is what least squares cannot fit; its square is kept.
 */
function fold({ a, b, c, d, e, square }, u, v, w) {
  const first = Math.hypot(a, u);
  const [cos, sin] = [a / first, u / first];
  const [v2, w2] = [cos * v - sin * b, cos * w - sin * d];
  const second = Math.hypot(c, v2);
  const [cos2, sin2] = [c / second, v2 / second];
  const rest = cos2 * w2 - sin2 * e;
  return { a: first, b: cos * b + sin * v, d: cos * d + sin * w,
    c: second, e: cos2 * e + sin2 * w2, square: square + rest * rest };
}

/**
 * What is known of the line after the points [x, y]: a normal, or a Student-t distribution where
 * `unknown`. Its centre is `mean`; with the root R = [[a, b], [0, c]], R (coefficients − mean) /
 * scale is a pair of standard normal, or standard t variables of `dof` degrees of freedom.
 */
export function posterior({ prior_sd, noise_sd, noise_worth }, points, unknown) {
  const weight = noise_sd / prior_sd;
  let system = { a: weight, b: 0, c: weight, d: 0, e: 0, square: 0 };
  for (const [x, y] of points) system = fold(system, 1, x, y);
  const { a, b, c, d, e, square } = system;
  const slope = e / c;
  const dof = unknown ? noise_worth + points.length : Infinity;
  const scale = unknown ? Math.sqrt((noise_worth * noise_sd * noise_sd + square) / dof) : noise_sd;
  return {
    count: points.length, mean: [(d - b * slope) / a, slope], root: { a, b, c }, scale, dof,
    quantile: unknown ? studentQuantile((1 + LEVEL) / 2, dof) : NORMAL_QUANTILE,
    // The mean of the noise's standard deviation: scale √(dof/2) Γ((dof − 1)/2) / Γ(dof/2).
    noise: unknown ? scale * Math.sqrt(dof / 2 / Math.PI) * Math.exp(logBeta((dof - 1) / 2, 0.5))
      : scale,
  };
}

/** Coefficients for a pair of standard variables: mean + scale · R⁻¹ z. */
function place({ mean, root: { a, b, c }, scale }, [z0, z1]) {
  const step = z1 / c;
  return [mean[0] + scale * ((z0 - b * step) / a), mean[1] + scale * step];
}

/** How far out the pairs lie of which this share is nearer: closed form for both distributions. */
export const radius = (share, dof) => (dof === Infinity
  ? Math.sqrt(-2 * Math.log1p(-share))
  : Math.sqrt(dof * Math.expm1((-2 / dof) * Math.log1p(-share))));

/**
 * Draws of (intercept, slope). The random numbers depend on the seed alone, so that each draw moves
 * gently when the posterior does.
 */
export function draws({ seed, num_draws }, line) {
  const u = uniforms(seed ^ 0x5eed, 2 * num_draws);
  return Array.from({ length: num_draws }, (_, i) => {
    const [r, angle] = [radius(u[2 * i], line.dof), 2 * Math.PI * u[2 * i + 1]];
    return place(line, [r * Math.cos(angle), r * Math.sin(angle)]);
  });
}

/** The contour of (intercept, slope) that holds this share. */
export function contour(line, share) {
  const r = radius(share, line.dof);
  return Array.from({ length: FINE + 1 }, (_, i) => {
    const angle = (2 * Math.PI * i) / FINE;
    return place(line, [r * Math.cos(angle), r * Math.sin(angle)]);
  });
}

/** At x: the centre, and half of the central intervals of the line and of a new point. */
export function at({ mean, root: { a, b, c }, scale, quantile }, x) {
  const first = 1 / a;
  const second = (x - b * first) / c;
  const half = (noise) => quantile * scale * Math.hypot(noise, first, second);
  return { centre: mean[0] + mean[1] * x, line: half(0), point: half(1) };
}

/** Means and central intervals of both coefficients. */
export function summary(line) {
  const { mean, root: { a, b, c }, scale, quantile } = line;
  const half = [Math.hypot(1 / a, b / a / c), 1 / c].map((spread) => quantile * scale * spread);
  return ["intercept", "slope"].map((name, i) =>
    ({ name, mean: mean[i], lower: mean[i] - half[i], upper: mean[i] + half[i] }));
}

/** The half-width of the plane of coefficients: the power of two that holds both distributions. */
export function halfWidth(...groups) {
  const furthest = Math.max(...groups.flat(2).map(Math.abs));
  return 2 ** Math.ceil(Math.log2(Math.max(furthest * 1.04, 2 ** -6)));
}

/** All that is drawn, as numbers in arrays of fixed lengths, so that two pictures can be mixed. */
export function picture(settings, points, unknown) {
  const line = posterior(settings, points, unknown);
  const prior = posterior(settings, [], unknown);
  const { x_low, x_high } = settings;
  const bands = Array.from({ length: FINE + 1 }, (_, i) => {
    const x = x_low + ((x_high - x_low) * i) / FINE;
    const { centre, line: inner, point: outer } = at(line, x);
    return [x, centre - outer, centre - inner, centre, centre + inner, centre + outer];
  });
  const [before, after] = [prior, line].map((l) => [contour(l, 0.5), contour(l, LEVEL)]);
  return { bands, before, after, mean: line.mean, draws: draws(settings, line),
    half: halfWidth(before[1], after[1]) };
}

/** A picture part of the way from one to another. */
export function mix(from, to, share) {
  if (typeof to === "number") return from + (to - from) * share;
  if (Array.isArray(to)) return to.map((part, i) => mix(from[i], part, share));
  return Object.fromEntries(Object.keys(to).map((k) => [k, mix(from[k], to[k], share)]));
}
