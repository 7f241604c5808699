import { Rope } from '../../assembly/params.ts';
import { type Layout, overlap, stridesOf } from '../attention/options.ts';
import {
  checkFinite,
  checkOneOf,
  checkOptions,
  checkSameShape,
  checkTensor,
  text,
  wrongKind,
  wrongValue,
} from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import { Tensor } from '../tensor.ts';

/** cos and sin, each float32 [rows, rotaryDim/2]. */
export type RotaryTables = {
  /** float32 [rows, rotaryDim/2] */
  cos: Tensor;
  /** float32 [rows, rotaryDim/2] */
  sin: Tensor;
};

/** Rows of the tables, and where the result goes. */
export type RotaryTableOptions = {
  /** `[batch · sequence]`: the row of each vector; default row `i`. */
  positions?: ArrayLike<number>;
  /** Axes of the vectors: `'bhsd'` (default) or `'bshd'`. */
  layout?: Layout;
  /** The tensor to write; default the input itself. */
  output?: Tensor;
  /** Pair `k`: `'half'` (default) dimensions k and k + rotaryDim/2, `'interleaved'` 2k and 2k+1. */
  style?: 'half' | 'interleaved';
};

const tableOptions = new Set(['positions', 'layout', 'output', 'style']);

/**
 * Rotates by given tables, in place or into `output`: the vector at (batch, i) turns by row `positions[batch · sequence + i]` of them.
 * Source: Su et al. 2021 (RoFormer), eq. 34.
 *
 * @param input float32 [batch, heads, sequence, headDim], in the order of `options.layout`; dimensions from rotaryDim on are copied
 * @param tables cos and sin, float32 [rows, rotaryDim/2]
 * @returns the tensor that was written
 * @throws as `scaledDotProductAttention`; RangeError for a position that is no row of the tables
 */
export function applyRotaryTables(input: Tensor, tables: RotaryTables, options: RotaryTableOptions = {}): Tensor {
  const where = 'applyRotaryTables';
  if (!(input instanceof Tensor)) throw wrongKind(where, 'input', 'a Tensor', input);
  if (typeof tables !== 'object' || tables === null) throw wrongKind(where, 'tables', '{ cos, sin }', tables);
  const { cos, sin } = tables;
  checkOptions(where, options, tableOptions);
  const { layout = 'bhsd', output = input, style = 'half', positions } = options;
  const { runtime } = input;
  const { batch, length } = checkRotation(where, runtime, input, output, layout, input.shape[3]);
  checkTensor(where, 'cos', cos, runtime, { rank: 2 });
  checkTensor(where, 'sin', sin, runtime, { rank: 2 });
  checkSameShape(where, 'sin', sin.shape, cos.shape);
  checkOneOf(where, 'style', style, ['half', 'interleaved']);
  const [count, pairs] = cos.shape;
  if (2 * pairs > input.shape[3])
    throw wrongValue(where, 'cos', `has ${pairs} columns, too many for headDim ${input.shape[3]}`);
  if (positions && positions.length !== batch * length) {
    throw wrongValue(where, 'positions', `has ${positions.length} entries, but ${batch * length} are needed`);
  }
  const rows = (b: number, i: number) => (positions ? positions[b * length + i] : i);
  for (let at = 0; at < batch * length; at++) {
    const row = rows(Math.floor(at / length), at % length);
    if (!Number.isInteger(row) || row < 0 || row >= count)
      throw wrongValue(where, `positions[${at}]`, `is ${text(row)}, not a row of the tables (${count})`);
  }
  rotate(runtime, input, output, { cos: cos.address, sin: sin.address, rows, layout, rotaryDim: 2 * pairs, style });
  return output;
}

export function checkRotation(
  where: string,
  runtime: Runtime,
  input: Tensor,
  output: Tensor,
  layout: Layout,
  headDim: number,
) {
  checkTensor(where, 'input', input, runtime, { rank: 4 });
  checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
  if (input.shape[3] !== headDim)
    throw wrongValue(where, 'input', `has headDim ${input.shape[3]}, but ${headDim} is needed`);
  checkTensor(where, 'output', output, runtime);
  checkSameShape(where, 'output', output.shape, input.shape);
  if (output.address !== input.address && overlap(input, output))
    throw wrongValue(where, 'output', 'overlaps "input" without being the same');
  return { batch: input.shape[0], length: input.shape[layout === 'bhsd' ? 2 : 1] };
}

/** Positions [axes · sequence] or [axes · batch · sequence]; returns whether the batches share them. */
export function checkPositions(
  where: string,
  positions: ArrayLike<number>,
  axes: number,
  batch: number,
  length: number,
): boolean {
  if (typeof positions !== 'object' || positions === null)
    throw wrongKind(where, 'positions', 'an array of positions', positions);
  const shared = positions.length === axes * length;
  if (!shared && positions.length !== axes * batch * length) {
    const needed = `${axes * length} or ${axes * batch * length} are needed`;
    throw wrongValue(where, 'positions', `has ${positions.length} entries, but ${needed}`);
  }
  for (let i = 0; i < positions.length; i++) checkFinite(where, `positions[${i}]`, positions[i]);
  return shared;
}

type Rotation = {
  cos: number;
  sin: number;
  rows: (batch: number, i: number) => number;
  layout: Layout;
  rotaryDim: number;
  style: 'half' | 'interleaved';
};

export function rotate(runtime: Runtime, input: Tensor, output: Tensor, rotation: Rotation): void {
  const { cos, sin, rows, layout, rotaryDim, style } = rotation;
  const [batch, second, third, headDim] = input.shape;
  const [heads, length] = layout === 'bhsd' ? [second, third] : [third, second];
  runtime.withScratch([Rope.words * 4, batch * length * 4], (params, rowOf) => {
    const table = new Int32Array(runtime.buffer, rowOf, batch * length);
    table.forEach((_, at) => {
      table[at] = rows(Math.floor(at / length), at % length);
    });
    const strides = stridesOf(input.shape, layout);
    const words = [output.address, input.address, cos, sin, rowOf, batch, heads, length, headDim, rotaryDim];
    words.push(style === 'interleaved' ? 1 : 0, ...strides, ...strides);
    new Int32Array(runtime.buffer, params, Rope.words).set(words);
    const { kernels } = whole(runtime);
    for (let task = 0; task < batch * heads; task++) kernels.rope(params, task);
  });
}
