// The statistics that the interactive figures need, free of the page, so that Node can run them on
// the inputs of the Python package (tests/book/test_figures.py compares the two).

const HALF_LOG_TWO_PI = 0.9189385332046727;

/** What Stirling's formula for log Γ(x) leaves out; x of at least 10. */
function stirlingRemainder(x) {
  const r = 1 / (x * x);
  const series = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];
  return series.reduceRight((sum, term) => term + r * sum, 0) / x;
}

/** log Γ(x) for x > 0: shifted above 10, then Stirling. */
export function logGamma(x) {
  let product = 1;
  while (x < 10) product *= x++;
  return (x - 0.5) * Math.log(x) - x + HALF_LOG_TWO_PI + stirlingRemainder(x) - Math.log(product);
}

/** log B(a, b), without the cancellation that three log gammas of large arguments would bring. */
export function logBeta(a, b) {
  const [p, q] = a < b ? [a, b] : [b, a];
  const share = p / (p + q);
  if (p >= 10) {
    const rest = stirlingRemainder(p) + stirlingRemainder(q) - stirlingRemainder(p + q);
    return (p - 0.5) * Math.log(share) + q * Math.log1p(-share) - 0.5 * Math.log(q)
      + HALF_LOG_TWO_PI + rest;
  }
  if (q >= 10) {
    const rest = stirlingRemainder(q) - stirlingRemainder(p + q);
    return logGamma(p) + rest + p - p * Math.log(p + q) + (q - 0.5) * Math.log1p(-share);
  }
  return logGamma(p) + logGamma(q) - logGamma(p + q);
}

// A factor of power zero is one, also where its base is zero.
const times = (power, logarithm) => (power === 0 ? 0 : power * logarithm);

/** Density of Beta(a, b) at x. */
export function betaDensity(x, a, b) {
  if (x < 0 || x > 1) return 0;
  return Math.exp(times(a - 1, Math.log(x)) + times(b - 1, Math.log1p(-x)) - logBeta(a, b));
}

/** Probability that Beta(a, b) is at most x: Lentz's continued fraction on the quick side. */
export function betaCdf(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - lowerTail(1 - x, Math.log(x), b, a);
  return lowerTail(x, Math.log1p(-x), a, b);
}

function lowerTail(x, logOther, a, b) {
  const tiny = 1e-300;
  const guard = (value) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / guard(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return Math.exp(a * Math.log(x) + b * logOther - logBeta(a, b) - Math.log(a)) * fraction;
}

/** The value below which Beta(a, b) has the given probability: Newton's steps inside a bracket. */
export function betaQuantile(probability, a, b) {
  if (probability <= 0) return 0;
  if (probability >= 1) return 1;
  let low = 0;
  let high = 1;
  let x = a / (a + b);
  for (let i = 0; i < 200 && high - low > 1e-16; i++) {
    const gap = betaCdf(x, a, b) - probability;
    if (gap > 0) high = x;
    else low = x;
    const newton = x - gap / betaDensity(x, a, b);
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    if (Math.abs(next - x) < 1e-16 + 1e-15 * x) return next;
    x = next;
  }
  return x;
}

/** What a figure says of a Beta(a, b): mean, standard deviation, central interval. */
export function betaSummary(a, b, probability = 0.95) {
  const mean = a / (a + b);
  const tail = (1 - probability) / 2;
  return {
    a, b, mean,
    sd: Math.sqrt((mean * (1 - mean)) / (a + b + 1)),
    lower: betaQuantile(tail, a, b),
    upper: betaQuantile(1 - tail, a, b),
  };
}

/** Density of Student's t at t. */
export function studentDensity(t, dof) {
  const kernel = -((dof + 1) / 2) * Math.log1p((t * t) / dof);
  return Math.exp(kernel - logBeta(dof / 2, 0.5) - 0.5 * Math.log(dof));
}

/** Probability that Student's t is above t ≥ 0: half a tail of Beta(1/2, dof/2) at t²/(dof + t²). */
export function studentUpper(t, dof) {
  const square = t * t;
  const [share, other] = [1 / (1 + dof / square), 1 / (1 + square / dof)];
  if (share > 3 / (5 + dof)) {
    return 0.5 * lowerTail(other, -Math.log1p(dof / square), dof / 2, 0.5);
  }
  return share === 0 ? 0.5 : 0.5 - 0.5 * lowerTail(share, -Math.log1p(square / dof), 0.5, dof / 2);
}

/** The value below which Student's t, of at least one degree of freedom, has this probability. */
export function studentQuantile(probability, dof) {
  if (probability < 0.5) return -studentQuantile(1 - probability, dof);
  const tail = 1 - probability;
  // The upper tail is convex, so Newton's steps from the centre never overshoot.
  let t = 0;
  for (let i = 0; i < 500; i++) {
    const step = (studentUpper(t, dof) - tail) / studentDensity(t, dof);
    t += step;
    if (!(step > 1e-15 * t)) break;
  }
  return t;
}

/** A source of uniform numbers in [0, 1), the same for the same whole seed: mulberry32. */
export function uniformSource(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The first numbers of that source. */
export function uniforms(seed, count) {
  const next = uniformSource(seed);
  return Float64Array.from({ length: count }, () => next());
}
