import { type Inputs, swapMiddle } from '../data.ts';
import type { Shape } from '../shapes.ts';
import { DoesNotApply } from './contender.ts';

export type Feed = { type: 'float32' | 'int32'; data: Float32Array | Int32Array; dims: number[] };

/** One node and what goes into it. `transposed`: the result is [batch, queries, heads · headDim]. */
export type OperatorCall = {
  type: string;
  domain: string;
  attributes: Record<string, number>;
  /** In the operator's order; undefined where an optional input is left out. */
  feeds: Record<string, Feed | undefined>;
  outputs: string[];
  transposed: boolean;
};

type Operator = (shape: Shape, inputs: Inputs) => OperatorCall;

const float = (data: Float32Array, ...dims: number[]): Feed => ({ type: 'float32', data, dims });
const int = (data: number[], ...dims: number[]): Feed => ({ type: 'int32', data: Int32Array.from(data), dims });

/** ONNX Attention, opset 23: 4-D inputs, grouped heads, causal. */
const attention: Operator = (shape, { query, key, value }) => {
  const { batch, heads, kvHeads, queries, keys, headDim, causal, window } = shape;
  if (window) throw new DoesNotApply('no window');
  return {
    type: 'Attention',
    domain: '',
    attributes: { is_causal: causal ? 1 : 0 },
    feeds: {
      Q: float(query, batch, heads, queries, headDim),
      K: float(key, batch, kvHeads, keys, headDim),
      V: float(value, batch, kvHeads, keys, headDim),
    },
    outputs: ['Y'],
    transposed: false,
  };
};

/** com.microsoft: [batch, sequence, heads · headDim]. */
const multiHeadAttention: Operator = (shape, { query, key, value }) => {
  const { batch, heads, kvHeads, queries, keys, headDim, causal, window } = shape;
  if (window) throw new DoesNotApply('no window');
  if (kvHeads !== heads) throw new DoesNotApply('no grouped heads');
  const rows = (data: Float32Array, length: number) =>
    float(swapMiddle(data, batch, heads, length), batch, length, heads * headDim);
  return {
    type: 'MultiHeadAttention',
    domain: 'com.microsoft',
    attributes: { num_heads: heads, unidirectional: causal ? 1 : 0 },
    feeds: { query: rows(query, queries), key: rows(key, keys), value: rows(value, keys) },
    outputs: ['output'],
    transposed: true,
  };
};

/** com.microsoft: always causal; keys that are older than the queries come as a past, which is copied into the present. */
const groupQueryAttention: Operator = (shape, { query, key, value }) => {
  const { batch, heads, kvHeads, queries, keys, headDim, causal, window } = shape;
  if (!causal && queries > 1) throw new DoesNotApply('always causal');
  const past = keys - queries;
  const part = (data: Float32Array, from: number, to: number) => {
    const kept = new Float32Array(batch * kvHeads * (to - from) * headDim);
    for (let head = 0; head < batch * kvHeads; head++) {
      const start = head * keys;
      kept.set(data.subarray((start + from) * headDim, (start + to) * headDim), head * (to - from) * headDim);
    }
    return kept;
  };
  const fresh = (data: Float32Array) =>
    float(swapMiddle(part(data, past, keys), batch, kvHeads, queries), batch, queries, kvHeads * headDim);
  const old = (data: Float32Array) => (past ? float(part(data, 0, past), batch, kvHeads, past, headDim) : undefined);
  return {
    type: 'GroupQueryAttention',
    domain: 'com.microsoft',
    attributes: {
      num_heads: heads,
      kv_num_heads: kvHeads,
      do_rotary: 0,
      ...(window && { local_window_size: window[0] + 1 }),
    },
    feeds: {
      query: float(swapMiddle(query, batch, heads, queries), batch, queries, heads * headDim),
      key: fresh(key),
      value: fresh(value),
      past_key: old(key),
      past_value: old(value),
      seqlens_k: int(new Array(batch).fill(keys - 1), batch),
      total_sequence_length: int([keys], 1),
    },
    outputs: ['output', 'present_key', 'present_value'],
    transposed: true,
  };
};

export const operators: Record<string, Operator> = {
  Attention: attention,
  MultiHeadAttention: multiHeadAttention,
  GroupQueryAttention: groupQueryAttention,
};
