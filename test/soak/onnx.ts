import {
  Attention,
  CausalConvWithState,
  FlexAttention,
  LinearAttention,
  type OnnxTensor,
  RotaryEmbedding,
} from 'wasm-attention/onnx';
import {
  attention,
  causalConv,
  linearAttention,
  type NdArray,
  rotaryEmbedding,
  rotaryTable,
} from 'wasm-attention/reference';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../src/half.ts';
import type { Choice } from './choice.ts';
import { expectClose, type Inputs, type Operation } from './trial.ts';

const dtypes = ['float32', 'float16', 'bfloat16'] as const;
type DType = (typeof dtypes)[number];

const codes = { float16: [toFloat16, fromFloat16], bfloat16: [toBfloat16, fromBfloat16] } as const;
/** Half of what the last bit of the largest value is worth. */
const TOLERANCES: Record<DType, number> = { float32: 1e-3, float16: 2e-3, bfloat16: 1e-2 };

/** An array as ONNX has it, and what numbers it then holds. */
function stored({ shape, data }: NdArray, dtype: DType): { tensor: OnnxTensor; array: NdArray } {
  if (dtype === 'float32') return { tensor: { dtype, shape, data: Float32Array.from(data) }, array: { shape, data } };
  const [encode, decode] = codes[dtype];
  const bits = Uint16Array.from(data, encode);
  return { tensor: { dtype, shape, data: bits }, array: { shape, data: Array.from(bits, decode) } };
}

function expectOnnx({ dtype, data }: OnnxTensor, truth: ArrayLike<number>, name: string): void {
  const given = dtype as DType;
  const values = given === 'float32' ? (data as Float32Array) : Array.from(data as Uint16Array, codes[given][1]);
  expectClose(values, truth, name, TOLERANCES[given]);
}

/** A mask, a past, packed heads. */
const plain: Operation = (inputs, pick) => {
  const [batch, kvHeads, queries, keys] = [pick.integer(1, 2), pick.integer(1, 2), pick.size(9, 70), pick.size(12, 70)];
  const [heads, headDim, valueDim] = [kvHeads * pick.integer(1, 3), pick.integer(1, 12), pick.integer(1, 12)];
  const dtype = pick.one(...dtypes);
  const shapes = [
    [batch, heads, queries, headDim],
    [batch, kvHeads, keys, headDim],
    [batch, kvHeads, keys, valueDim],
  ];
  const [q, k, v] = shapes.map((shape) => stored(inputs.random(shape), dtype));
  const mask = pick.maybe(() => inputs.random([queries, keys]));
  const causal = pick.chance();
  const softcap = pick.maybe(() => 5);
  const attn_mask = mask && { dtype: 'float32', shape: mask.shape, data: mask.data };
  return {
    args: [
      { Q: q.tensor, K: k.tensor, V: v.tensor, attn_mask },
      { is_causal: Number(causal), softcap },
    ],
    call: (given, attributes) => Attention(inputs.runtime, given, attributes),
    check({ Y }: { Y: OnnxTensor }) {
      const options = { causal, softcap, queryOffset: 0, bias: mask };
      expectOnnx(Y, attention(q.array, k.array, v.array, options).output.data, 'Y');
    },
  };
};

const flex: Operation = (inputs, pick) => {
  const [batch, heads, queries, keys] = [pick.integer(1, 2), pick.integer(1, 2), pick.size(9, 70), pick.size(12, 70)];
  const dim = pick.integer(1, 12);
  const dtype = pick.one(...dtypes);
  const [q, k, v] = [queries, keys, keys].map((n) => stored(inputs.random([batch, heads, n, dim]), dtype));
  return {
    args: [{ Q: q.tensor, K: k.tensor, V: v.tensor }, {}],
    call: (given, attributes) => FlexAttention(inputs.runtime, given, attributes),
    check: ({ Y }: { Y: OnnxTensor }) => expectOnnx(Y, attention(q.array, k.array, v.array).output.data, 'Y'),
  };
};

const conv: Operation = (inputs, pick) => {
  const [batch, channels, length, size] = [
    pick.integer(1, 2),
    pick.size(9, 40),
    pick.size(9, 70, 0),
    pick.integer(1, 6),
  ];
  const dtype = pick.one(...dtypes);
  const part = (shape: number[]) => stored(inputs.random(shape), dtype);
  const [input, weight] = [part([batch, channels, length]), part([channels, 1, size])];
  const bias = pick.maybe(() => part([channels]));
  const past = pick.maybe(() => part([batch, channels, size - 1]));
  const silu = pick.chance();
  return {
    args: [
      { input: input.tensor, weight: weight.tensor, bias: bias?.tensor, past_state: past?.tensor },
      { activation: silu ? 'silu' : 'none' },
    ],
    call: (given, attributes) => CausalConvWithState(inputs.runtime, given, attributes),
    check(result: ReturnType<typeof CausalConvWithState>) {
      const truth = causalConv(input.array, weight.array, { bias: bias?.array, state: past?.array, silu });
      expectOnnx(result.output, truth.output.data, 'output');
      expectOnnx(result.present_state, truth.state.data, 'present_state');
    },
  };
};

const linear: Operation = (inputs, pick) => {
  const [batch, length, kvHeads] = [pick.integer(1, 2), pick.size(9, 40), pick.integer(1, 2)];
  const [heads, dim, valueDim] = [kvHeads * pick.integer(1, 2), pick.integer(1, 9), pick.integer(1, 9)];
  const dtype = pick.one(...dtypes);
  const array = (...tail: number[]) => stored(inputs.random([batch, length, tail[0] * tail[1]]), dtype);
  const [query, key, value] = [array(heads, dim), array(kvHeads, dim), array(kvHeads, valueDim)];
  const split = ({ array: { data } }: typeof query, h: number, d: number) => ({ shape: [batch, length, h, d], data });
  return {
    args: [
      { query: query.tensor, key: key.tensor, value: value.tensor },
      { q_num_heads: heads, kv_num_heads: kvHeads, update_rule: 'linear' },
    ],
    call: (given, attributes) => LinearAttention(inputs.runtime, given, attributes),
    check({ output }: { output: OnnxTensor }) {
      const parts = [split(query, heads, dim), split(key, kvHeads, dim), split(value, kvHeads, valueDim)] as const;
      expectOnnx(output, linearAttention(...parts, { layout: 'bshd', causal: true }).output.data, 'output');
    },
  };
};

const rotary: Operation = (inputs: Inputs, pick: Choice) => {
  const [batch, heads, length, pairs] = [pick.integer(1, 2), pick.integer(1, 3), pick.size(9, 40), pick.integer(1, 6)];
  const X = inputs.random([batch, heads, length, 2 * pairs]);
  const rows = Array.from({ length: 30 }, (_, i) => i);
  const tables = rotaryTable(rows, { rotaryDim: 2 * pairs, precision: 'float32' });
  const [cos, sin] = [tables.cos, tables.sin].map((table) => stored(table, 'float32').tensor);
  const positions = pick.list(batch * length, 0, rows.length - 1);
  const interleaved = pick.integer(0, 1);
  const position_ids = { dtype: 'int64', shape: [batch, length], data: BigInt64Array.from(positions, BigInt) };
  return {
    args: [{ X: stored(X, 'float32').tensor, cos_cache: cos, sin_cache: sin, position_ids }, { interleaved }],
    call: (given, attributes) => RotaryEmbedding(inputs.runtime, given, attributes),
    check({ Y }: { Y: OnnxTensor }) {
      const style = interleaved ? 'interleaved' : 'half';
      const truth = rotaryEmbedding(X, { style, positions: { shape: [batch, length], data: positions } });
      expectOnnx(Y, truth.data, 'Y');
    },
  };
};

export const onnxOperations: Record<string, Operation> = {
  'onnx.Attention': plain,
  'onnx.FlexAttention': flex,
  'onnx.CausalConvWithState': conv,
  'onnx.LinearAttention': linear,
  'onnx.RotaryEmbedding': rotary,
};
