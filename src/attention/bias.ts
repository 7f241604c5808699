import type { Tensor } from '../tensor.ts';
import { broadcastStrides, sizesOf } from './broadcast.ts';
import type { Problem } from './problem.ts';

/** What is added to the scores: a tensor as it lies, or `data` of one's own; strides over [batch, heads, queries, keys]. */
export type Bias = { address: number; data?: Float32Array; strides: readonly number[] };

/** One bias of all: the tensor as it lies, or, of two, their sum. */
export function combinedBias(problem: Problem): Bias {
  const sizes = sizesOf(problem);
  const [first, second] = problem.biases;
  const strides = (tensor: Tensor) => broadcastStrides(problem.where, 'bias', tensor.shape, sizes);
  if (!second) return { address: first.address, strides: strides(first) };
  const [a, b] = [strides(first), strides(second)];
  const shape = sizes.map((size, axis) => (a[axis] || b[axis] ? size : 1));
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  const [left, right] = [first.data, second.data];
  data.forEach((_, at) => {
    let rest = at;
    let x = 0;
    let y = 0;
    for (let axis = 3; axis >= 0; axis--) {
      const i = rest % shape[axis];
      rest = (rest - i) / shape[axis];
      x += i * a[axis];
      y += i * b[axis];
    }
    data[at] = left[x] === -Infinity || right[y] === -Infinity ? -Infinity : left[x] + right[y];
  });
  return { address: 0, data, strides: broadcastStrides(problem.where, 'bias', shape, sizes) };
}
