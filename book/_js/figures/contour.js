// Contours of a function known on a grid.

const sum = (values) => values.reduce((total, value) => total + value, 0);

/**
 * The contour at one level, as segments [x0, y0, x1, y1] in units of the grid's steps. Values are
 * compared as logarithms, in which these landscapes are smoother.
 */
export function contour(values, columns, level) {
  const height = values.map((v) => Math.log(Math.max(Math.min(v, 1e300), 1e-12) / level));
  const segments = [];
  for (let j = 0; (j + 2) * columns <= values.length; j++) {
    for (let i = 0; i + 1 < columns; i++) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const h = corners.map(([x, y]) => height[y * columns + x]);
      const cuts = corners.flatMap(([x, y], k) => {
        const [nx, ny] = corners[(k + 1) % 4];
        const [from, to] = [h[k], h[(k + 1) % 4]];
        const share = from / (from - to);
        return from < 0 !== to < 0 ? [[x + share * (nx - x), y + share * (ny - y)]] : [];
      });
      // Four cuts are a saddle: the first and last go together if the middle is on the other side.
      if (cuts.length === 4 && sum(h) < 0 === h[0] < 0) cuts.push(cuts.shift());
      for (let k = 0; k < cuts.length; k += 2) segments.push([...cuts[k], ...cuts[k + 1]]);
    }
  }
  return segments;
}
