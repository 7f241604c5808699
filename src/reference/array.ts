/** A dense row-major array: what every reference function reads. A runtime tensor fits it as it is. */
export type NdArray = { readonly shape: readonly number[]; readonly data: ArrayLike<number> };

/** What every reference function returns. With `precision: 'float32'` each element is a float32 value. */
export type Float64NdArray = { shape: number[]; data: Float64Array };

/**
 * `'float64'` is the truth. `'float32'` rounds the result of every operation, which is what a plain float32 program
 * computes; its distance from the truth is the unit of every error bound.
 */
export type Precision = 'float64' | 'float32';

/** `'bhsd'` = [batch, heads, sequence, headDim]; `'bshd'` = [batch, sequence, heads, headDim]. */
export type Layout = 'bhsd' | 'bshd';

/** Rounds the result of one operation. */
export type Round = (x: number) => number;

/** The rounding applied to the result of every operation. */
export function rounder(precision: Precision = 'float64'): Round {
  return precision === 'float32' ? Math.fround : (x) => x;
}

/** An array of zeros. */
export function zeros(shape: readonly number[]): Float64NdArray {
  return { shape: [...shape], data: new Float64Array(shape.reduce((size, n) => size * n, 1)) };
}

/** `Σ_k a[aStart + k]·b[bStart + k]`, summed in order. */
export function dot(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  length: number,
  round: Round,
): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum = round(sum + round(a[aStart + k] * b[bStart + k]));
  return sum;
}

/** The sizes of a four-dimensional array, and where the vector of (batch, head, position) begins in its data. */
export function headsOf(array: NdArray, layout: Layout = 'bhsd') {
  if (array.shape.length !== 4) throw new RangeError(`reference: expected 4 dimensions, got [${array.shape}]`);
  const [batch, second, third, headDim] = array.shape;
  const [heads, length] = layout === 'bhsd' ? [second, third] : [third, second];
  const start = (b: number, h: number, i: number) =>
    layout === 'bhsd' ? ((b * heads + h) * length + i) * headDim : ((b * length + i) * heads + h) * headDim;
  return {
    batch,
    heads,
    length,
    headDim,
    /** Index of the first element of (batch, head, position). */
    start,
  };
}

/** The shape [batch, heads, length, headDim] in the order of `layout`. */
export function headsShape(batch: number, heads: number, length: number, headDim: number, layout: Layout = 'bhsd') {
  return layout === 'bhsd' ? [batch, heads, length, headDim] : [batch, length, heads, headDim];
}

/** Reads `array` as if broadcast to `shape`: aligned at the last axis, a size of 1 repeats (NumPy, ONNX). */
export function broadcast(array: NdArray, shape: readonly number[]): (...index: number[]) => number {
  const missing = shape.length - array.shape.length;
  const strides = shape.map(() => 0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= missing; axis--) {
    const size = array.shape[axis - missing];
    if (size !== 1 && size !== shape[axis]) {
      throw new RangeError(`reference: [${array.shape}] does not broadcast to [${shape}]`);
    }
    strides[axis] = size === 1 ? 0 : stride;
    stride *= size;
  }
  if (missing < 0) throw new RangeError(`reference: [${array.shape}] does not broadcast to [${shape}]`);
  return (...index) => array.data[index.reduce((at, i, axis) => at + i * strides[axis], 0)];
}
