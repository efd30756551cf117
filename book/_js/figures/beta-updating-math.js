// The arithmetic of the figure "beta-updating": everything it shows is a function of its settings.
import { betaDensity, betaSummary, uniforms } from "./stats.js";

/** The strengths that the slider offers, in imagined flips. */
export const STRENGTHS = [1, 2, 4, 10, 20, 50, 100, 200, 500, 1000];

const between = (name, value, low, high) => {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new RangeError(`${name} must be between ${low} and ${high}, got ${value}`);
  }
};

/** Throw where a setting is out of its range; return the settings. */
export function checked(settings) {
  between("prior_mean", settings.prior_mean, 0.01, 0.99);
  between("prior_strength", settings.prior_strength, 0.01, 1e6);
  between("truth", settings.truth, 0, 1);
  between("seed", settings.seed, 0, 4294967295);
  between("max_flips", settings.max_flips, 1, 100000);
  return settings;
}

/**
 * The coin's first flips: true for heads. The uniform numbers depend on the seed alone, so that a
 * change of the truth changes as few flips as it must.
 */
export function flips({ seed, truth }, count) {
  return Array.from(uniforms(seed, count), (u) => u < truth);
}

/** Prior, posterior and their summaries after the first `count` flips. */
export function state(settings, count) {
  const { prior_mean: mean, prior_strength: strength } = checked(settings);
  const outcomes = flips(settings, count);
  const heads = outcomes.filter(Boolean).length;
  const [a, b] = [mean * strength, (1 - mean) * strength];
  return {
    count, heads, outcomes,
    prior: betaSummary(a, b),
    posterior: betaSummary(a + heads, b + count - heads),
    // The posterior mean is an average of the prior mean and the share of heads, with this weight.
    prior_weight: strength / (strength + count),
  };
}

/** Where to evaluate the curves: evenly, and closely where the posterior or likelihood is narrow. */
export function points({ count, heads, posterior }) {
  const even = Array.from({ length: 201 }, (_, i) => 0.0005 + (0.999 * i) / 200);
  const near = (centre, sd) =>
    Array.from({ length: 121 }, (_, i) => centre + sd * (i / 12 - 5)).filter((x) => x > 0 && x < 1);
  const share = count ? heads / count : 0.5;
  const width = Math.sqrt((share * (1 - share) + 1 / (count + 2)) / (count + 2));
  const all = [...even, ...near(posterior.mean, posterior.sd), ...near(share, width)];
  return all.sort((p, q) => p - q);
}

/** The three curves: the likelihood is scaled to area one, which makes it Beta(k + 1, n - k + 1). */
export function curves(current) {
  const { count, heads, prior, posterior } = current;
  const x = points(current);
  const density = (a, b) => x.map((t) => betaDensity(t, a, b));
  return {
    x,
    prior: density(prior.a, prior.b),
    likelihood: density(heads + 1, count - heads + 1),
    posterior: density(posterior.a, posterior.b),
  };
}
