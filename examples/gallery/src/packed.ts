import { masks, type Runtime, scaledDotProductAttention, type Tensor } from 'wasm-attention';
import { difference, type Float32NdArray, random, timed } from './common.ts';

/** Most sequences are short and few are long: lengths from 4 to 400 whose logarithms are uniform. */
const served = {
  lengths: Array.from(random([128], 9).data, (x) => Math.round(4 * 10 ** (x + 1))),
  heads: 8,
  headDim: 64,
};

/**
 * Causal attention over sequences of different lengths, three ways: packed one behind the other in one call, where
 * `masks.documents` lets each see itself alone; one call a sequence; and padded to the longest in a batch.
 */
export function packed(runtime: Runtime, { lengths, heads, headDim } = served) {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  const [total, longest, dim] = [starts.at(-1)!, Math.max(...lengths), heads * headDim];
  const inputs = [1, 2, 3].map((seed) => random([1, total, heads, headDim], seed));
  const documents = masks.documents(starts);
  const causal = { causal: true, layout: 'bshd' } as const;
  const attend = (qkv: readonly Tensor[], options: object) =>
    scaledDotProductAttention(qkv[0], qkv[1], qkv[2], { ...causal, ...options });

  return runtime.scope(() => {
    const upload = ({ shape, data }: Float32NdArray) => runtime.tensor(shape, data);
    const together = inputs.map(upload);
    const alone = lengths.map((length, s) =>
      inputs.map(({ data }) =>
        upload({ shape: [1, length, heads, headDim], data: data.subarray(starts[s] * dim, starts[s + 1] * dim) }),
      ),
    );
    const padded = inputs.map(({ data }) => {
      const rows = new Float32Array(lengths.length * longest * dim);
      for (const s of lengths.keys()) rows.set(data.subarray(starts[s] * dim, starts[s + 1] * dim), s * longest * dim);
      return upload({ shape: [lengths.length, longest, heads, headDim], data: rows });
    });

    const free = (output: Tensor) => output.dispose();
    const one = timed(() => attend(together, { mask: documents }), 7, free);
    const each = timed(
      () => alone.map((qkv) => attend(qkv, {})),
      7,
      (outputs) => outputs.forEach(free),
    );
    const batch = timed(() => attend(padded, { keyLengths: lengths, queryOffset: 0 }), 7, free);

    const part = (data: Float32Array, from: number, s: number) => data.subarray(from * dim, (from + lengths[s]) * dim);
    const error = (ofSequence: (s: number) => Float32Array) =>
      Math.max(...lengths.map((_, s) => difference(part(one.result.data, starts[s], s), ofSequence(s))));
    return {
      lengths,
      total,
      rows: { packed: total, padded: lengths.length * longest },
      ms: { packed: one.ms, each: each.ms, padded: batch.ms },
      errors: {
        each: error((s) => each.result[s].data),
        padded: error((s) => part(batch.result.data, s * longest, s)),
      },
      plan: documents.and(masks.causal()).plan({ queries: total, keys: total, heads, headDim }),
    };
  });
}

export function report({ lengths, total, rows, ms, errors, plan }: ReturnType<typeof packed>): string[] {
  const time = (name: keyof typeof ms) => `${ms[name].toFixed(1).padStart(7)} ms`;
  return [
    `${lengths.length} sequences of ${Math.min(...lengths)} to ${Math.max(...lengths)} tokens, ${total} in all; causal attention.`,
    `packed in one call    ${time('packed')}, ${(100 * plan.share).toFixed(1)} % of all pairs are computed`,
    `one call a sequence   ${time('each')}, largest difference ${errors.each.toExponential(1)}`,
    `padded to the longest ${time('padded')}, largest difference ${errors.padded.toExponential(1)}; ${rows.padded} rows for ${rows.packed} tokens`,
  ];
}
