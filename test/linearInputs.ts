import { type LinearAttentionOptions, type Runtime, retentionDecay } from 'wasm-attention';
import type { NdArray, LinearAttentionOptions as ReferenceOptions } from 'wasm-attention/reference';
import { random, upload } from './support.ts';

export const RULES = ['linear', 'gated', 'delta', 'gatedDelta'] as const;
export const MAPS = ['identity', 'elu', 'relu', 'cosformer'] as const;

export type Sizes = {
  batch?: number;
  heads?: number;
  kvHeads?: number;
  queries?: number;
  keys: number;
  headDim: number;
  valueDim?: number;
};

/** Unit vectors along the last axis, as delta rules need keys. */
function normalised(array: ReturnType<typeof random>) {
  const dim = array.shape.at(-1)!;
  for (let at = 0; at < array.data.length; at += dim) {
    const row = array.data.subarray(at, at + dim);
    const norm = Math.hypot(...row);
    row.forEach((x, d) => {
      row[d] = x / (norm || 1);
    });
  }
  return array;
}

/** Inputs of a call: keys of length 1 under delta rules, decays in [−0.4, 0), β in [0, 1). */
export function inputs(
  sizes: Required<Sizes>,
  options: ReferenceOptions,
  gates: 'head' | 'token' | 'feature',
  features: number,
) {
  const { batch, heads, kvHeads, queries, keys, headDim, valueDim } = sizes;
  const shape = (h: number, n: number, ...rest: number[]) =>
    options.layout === 'bshd' ? [batch, n, h, ...rest] : [batch, h, n, ...rest];
  const { update = 'linear' } = options;
  const [query, plainKey, value] = [
    random(shape(heads, queries, headDim), 1),
    random(shape(kvHeads, keys, headDim), 2),
    random(shape(kvHeads, keys, valueDim), 3),
  ];
  const key = update.endsWith('elta') ? normalised(plainKey) : plainKey;
  const positive = (s: number[], seed: number) => {
    const array = random(s, seed, 0.5);
    return { ...array, data: array.data.map((x) => x + 0.5) };
  };
  const negated = (array: NdArray & { data: Float32Array }) => ({ ...array, data: array.data.map((x) => x * -0.4) });
  const decay =
    gates === 'head'
      ? retentionDecay(kvHeads)
      : negated(positive(gates === 'token' ? shape(kvHeads, keys) : shape(kvHeads, keys, features), 4));
  const beta = positive(shape(gates === 'head' ? 1 : kvHeads, keys), 5);
  // Above 2/‖φ(k)‖² the delta rule diverges.
  if ((options.featureMap ?? 'identity') !== 'identity') beta.data = beta.data.map((x) => x / (2 * features));
  const given: ReferenceOptions = { ...options };
  if (update.startsWith('gated')) given.decay = decay;
  if (update.endsWith('elta')) given.beta = beta;
  return { query, key, value, given };
}

/** Reference options as the kernel takes them. */
export function uploaded(
  runtime: Runtime,
  { precision: _, decay, beta, state, ...rest }: ReferenceOptions,
): LinearAttentionOptions {
  const options: LinearAttentionOptions = { ...rest };
  if (decay) options.decay = 'shape' in decay ? upload(runtime, decay) : decay;
  if (beta) options.beta = upload(runtime, beta);
  if (state) options.state = upload(runtime, state);
  return options;
}

export const featuresOf = (map: ReferenceOptions['featureMap'], headDim: number) =>
  typeof map === 'object' && 'features' in map ? map.features : map === 'cosformer' ? 2 * headDim : headDim;
