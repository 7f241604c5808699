import { type Float64NdArray, type NdArray, zeros } from './array.ts';

/** Weights [to, from] of bicubic interpolation along one axis, pixels' centres at ½ (`align_corners=False`). */
export function bicubicWeights(from: number, to: number, antialias: boolean): Float64NdArray {
  const weights = zeros([to, from]);
  const step = from / to;
  // Without antialiasing 4 taps, those outside taken at the edge; with it a kernel as wide as the step, cut at the edge.
  const width = antialias ? Math.max(step, 1) : 1;
  const kernel = (distance: number) => cubic(Math.abs(distance) / width, antialias ? -0.5 : -0.75);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * step - 0.5;
    const first = Math.ceil(center - 2 * width);
    const last = Math.floor(center + 2 * width);
    let sum = 0;
    for (let j = first; j <= last; j++) {
      if (antialias && (j < 0 || j >= from)) continue;
      const weight = kernel(j - center);
      weights.data[i * from + Math.min(Math.max(j, 0), from - 1)] += weight;
      sum += weight;
    }
    for (let j = 0; j < from; j++) weights.data[i * from + j] /= sum;
  }
  return weights;
}

/** Keys 1981, eq. 4, of coefficient `a`. */
function cubic(x: number, a: number): number {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/**
 * Bicubic interpolation of a grid of vectors, as `torch.nn.functional.interpolate(mode='bicubic')`, which timm resizes tables
 * of positions with: `y[i, j] = Σ w_i[k]·w_j[l]·x[k, l]`.
 *
 * Source: Keys 1981, with `a = −0.75`, antialiased `a = −0.5`, as in PyTorch.
 *
 * @param table [height · width, dim]
 * @returns [toHeight · toWidth, dim]
 */
export function resizeGrid(
  table: NdArray,
  [height, width]: readonly number[],
  [toHeight, toWidth]: readonly number[],
  antialias = true,
): Float64NdArray {
  const dim = table.shape[1];
  const rows = bicubicWeights(height, toHeight, antialias).data;
  const columns = bicubicWeights(width, toWidth, antialias).data;
  const between = zeros([height * toWidth, dim]);
  const output = zeros([toHeight * toWidth, dim]);
  mix(between.data, table.data, columns, { outer: height, from: width, to: toWidth, inner: dim });
  mix(output.data, between.data, rows, { outer: 1, from: height, to: toHeight, inner: toWidth * dim });
  return output;
}

/** y[o, i, …] += weights[i, j]·x[o, j, …] */
function mix(
  y: Float64Array,
  x: ArrayLike<number>,
  weights: Float64Array,
  { outer, from, to, inner }: { outer: number; from: number; to: number; inner: number },
): void {
  for (let o = 0; o < outer; o++) {
    for (let at = 0; at < to * from; at++) {
      const weight = weights[at];
      if (weight === 0) continue;
      const [out, into] = [(o * to + Math.floor(at / from)) * inner, (o * from + (at % from)) * inner];
      for (let d = 0; d < inner; d++) y[out + d] += weight * x[into + d];
    }
  }
}
