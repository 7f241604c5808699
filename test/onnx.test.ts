import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createRuntimeSync, type Runtime } from 'wasm-attention';
import {
  Attention,
  CausalConvWithState,
  FlexAttention,
  LinearAttention,
  type OnnxTensor,
  RotaryEmbedding,
} from 'wasm-attention/onnx';
import { builds } from './support.ts';

// The node test cases of onnx/onnx, one JSON file a case: { op, attributes, inputs, outputs }, data in base64.
const folder = process.env.ONNX_CASES;
const tolerance: Record<string, number> = { float32: 1e-5, float64: 1e-5, float16: 2e-3, bfloat16: 1e-2 };

type Named = Omit<OnnxTensor, 'data'> & { name: string; data: string };
type Case = {
  name: string;
  op: string;
  attributes: Record<string, unknown>;
  inputs: (Named | null)[];
  outputs: (Named | null)[];
};

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  bool: Uint8Array,
  int64: BigInt64Array,
};
const operands: Record<string, string[]> = {
  Attention: ['Q', 'K', 'V', 'attn_mask', 'past_key', 'past_value', 'nonpad_kv_seqlen'],
  FlexAttention: ['Q', 'K', 'V'],
  RotaryEmbedding: ['X', 'cos_cache', 'sin_cache', 'position_ids'],
  LinearAttention: ['query', 'key', 'value', 'past_state', 'decay', 'beta'],
  CausalConvWithState: ['input', 'weight', 'bias', 'past_state'],
};

// biome-ignore lint/suspicious/noExplicitAny: inputs and attributes are what the case says
type Operator = (runtime: Runtime, inputs: any, attributes: any) => Record<string, OnnxTensor | undefined>;
const operators: Record<string, Operator> = {
  Attention,
  FlexAttention,
  RotaryEmbedding,
  LinearAttention,
  CausalConvWithState,
};

function decode({ dtype, shape, data }: Named): OnnxTensor {
  const bytes = new Uint8Array(Buffer.from(data, 'base64'));
  return { dtype, shape, data: new arrays[dtype](bytes.buffer) };
}

function numbers({ dtype, data }: OnnxTensor): number[] {
  const bits = (value: number) => {
    if (dtype === 'bfloat16') return new Float32Array(new Uint32Array([value << 16]).buffer)[0];
    const [sign, exponent, fraction] = [value & 0x8000 ? -1 : 1, (value >> 10) & 31, value & 1023];
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  };
  return Array.from(data as Float32Array, (value) =>
    dtype.startsWith('float') && dtype !== 'float16' ? value : bits(value),
  );
}

function load(directory: string): Case[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(join(directory, file), 'utf8')))
    .filter(({ op }) => op in operands);
}

if (!folder) {
  console.log('ONNX_CASES is not set: the ONNX operator cases are skipped');
  describe.skip('ONNX cases (set ONNX_CASES to their folder)', () => it('', () => {}));
} else {
  const cases = load(folder);
  console.log(`ONNX cases: ${cases.length} × ${builds.length} builds`);
  describe.each(builds)('%s', (build) => {
    const runtime = createRuntimeSync({ build });
    it.each(cases.map((one) => [one.name, one] as const))('%s', (_name, { op, attributes, inputs, outputs }) => {
      const given = Object.fromEntries(inputs.flatMap((input, i) => (input ? [[operands[op][i], decode(input)]] : [])));
      const wanted = outputs.some((output) => output?.name === 'qk_matmul_output') ? { qk_matmul_output_mode: 0 } : {};
      const results = operators[op](runtime, given, { ...wanted, ...attributes });
      for (const output of outputs.filter((one) => one !== null)) {
        const result = results[op === 'RotaryEmbedding' ? 'Y' : output.name]!;
        expect(result.shape).toEqual(output.shape);
        expect(result.dtype).toBe(output.dtype);
        const [actual, expected] = [numbers(result), numbers(decode(output))];
        const atol = tolerance[output.dtype];
        expected.forEach((x, i) => {
          const close = Number.isFinite(x) ? Math.abs(actual[i] - x) <= atol : Object.is(actual[i], x);
          if (!close) expect(actual[i], `${output.name}[${i}]`).toBe(x);
        });
      }
    });
  });
}
