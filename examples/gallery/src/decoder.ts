import {
  KVCache,
  linear,
  RotaryEmbedding,
  type Runtime,
  rmsNorm,
  scaledDotProductAttention,
  type Tensor,
} from 'wasm-attention';
import { add, mapInPlace, seededState } from './common.ts';

export type DecoderSizes = {
  layers: number;
  dim: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  ffn: number;
  vocabulary: number;
};

/** How keys and values of past tokens are kept: all of `maxLength`, or the first `sinks` and the last `window` ones. */
export type Memory = { maxLength: number; dtype?: 'float32' | 'int8' } | { window: number; sinks: number };

/** A decoder as Llama's (RMS norms, grouped heads, rotary positions), with seeded weights and a plain SiLU feed-forward layer. */
export class Decoder {
  readonly rotary: RotaryEmbedding;
  readonly #weights: Record<string, Tensor>;

  constructor(
    readonly runtime: Runtime,
    readonly sizes: DecoderSizes,
    seed: number,
  ) {
    const { layers, dim, heads, kvHeads, headDim, ffn, vocabulary } = sizes;
    this.rotary = new RotaryEmbedding(runtime, { headDim });
    const shapes: Record<string, number[]> = { embedding: [vocabulary, dim], norm_weight: [dim] };
    for (let l = 0; l < layers; l++) {
      Object.assign(shapes, { [`${l}.norm1.weight`]: [dim], [`${l}.norm2.weight`]: [dim] });
      Object.assign(shapes, { [`${l}.q`]: [heads * headDim, dim], [`${l}.o`]: [dim, heads * headDim] });
      Object.assign(shapes, { [`${l}.k`]: [kvHeads * headDim, dim], [`${l}.v`]: [kvHeads * headDim, dim] });
      Object.assign(shapes, { [`${l}.up`]: [ffn, dim], [`${l}.down`]: [dim, ffn] });
    }
    const state = Object.entries(seededState(shapes, seed));
    this.#weights = Object.fromEntries(
      state.map(([name, { shape, data }]) => [name, runtime.keep(runtime.tensor(shape, data))]),
    );
  }

  caches(memory: Memory): KVCache[] {
    const { layers, kvHeads, headDim } = this.sizes;
    const options = { kvHeads, headDim, rotary: this.rotary, ...memory };
    return Array.from({ length: layers }, () => new KVCache(this.runtime, options));
  }

  /** Logits [tokens, vocabulary] of the tokens that follow those in the caches, to which they are appended. */
  decode(tokens: readonly number[], caches: readonly KVCache[]): Float32Array {
    const offset = caches[0].positions[0];
    return this.#run(tokens, offset, (layer, query, key, value) => {
      caches[layer].append(key, value, { layout: 'bshd' });
      return scaledDotProductAttention(query, caches[layer], { causal: true, layout: 'bshd' });
    });
  }

  /** The same of a whole text at once, without a cache; with `window`, each token sees only so many last ones. */
  recompute(tokens: readonly number[], window = Infinity): Float32Array {
    return this.#run(tokens, 0, (_layer, query, key, value) =>
      scaledDotProductAttention(query, this.rotary.apply(key, { layout: 'bshd' }), value, {
        window: [window - 1, 0],
        layout: 'bshd',
      }),
    );
  }

  /**
   * The same where each token sees the first `sinks` and the last `window` ones, as if they were one text (Xiao et al. 2023,
   * StreamingLLM, section 3.2): what it sees is put together token by token, and only then gets its positions.
   */
  recomputeWithSinks(tokens: readonly number[], window: number, sinks: number): Float32Array {
    const { runtime } = this;
    return this.#run(tokens, 0, (_layer, query, key, value) => {
      const output = runtime.empty(query.shape);
      for (let t = 0; t < tokens.length; t++) {
        const seen = Array.from(tokens.keys()).filter((j) => j <= t && (j < sinks || j > t - window));
        const rows = (tensor: Tensor) => {
          const [, , heads, dim] = tensor.shape;
          const row = (j: number) => Array.from(tensor.data.subarray(j * heads * dim, (j + 1) * heads * dim));
          return runtime.tensor([1, seen.length, heads, dim], seen.flatMap(row));
        };
        runtime.scope(() => {
          // The query is at position t; the token before it at t − 1, whichever it is.
          const keys = this.rotary.apply(rows(key), { offset: t + 1 - seen.length, layout: 'bshd' });
          const at = (tensor: Tensor) => tensor.view([tokens.length, 1, ...tensor.shape.slice(2)]).slice(t, 1);
          scaledDotProductAttention(at(query), keys, rows(value), { layout: 'bshd', output: at(output) });
        });
      }
      return output;
    });
  }

  #run(
    tokens: readonly number[],
    offset: number,
    attend: (layer: number, query: Tensor, key: Tensor, value: Tensor) => Tensor,
  ): Float32Array {
    const { layers, dim, heads, kvHeads, headDim } = this.sizes;
    const weights = this.#weights;
    return this.runtime.scope(() => {
      const x = this.runtime.empty([1, tokens.length, dim]);
      tokens.forEach(
        (token, t) => void x.data.set(weights.embedding.data.subarray(token * dim, (token + 1) * dim), t * dim),
      );
      for (let l = 0; l < layers; l++) {
        const normed = rmsNorm(x, weights[`${l}.norm1.weight`]);
        const split = (name: string, n: number) =>
          linear(normed, weights[`${l}.${name}`]).view([1, tokens.length, n, headDim]);
        const query = this.rotary.apply(split('q', heads), { offset, layout: 'bshd' });
        const attended = attend(l, query, split('k', kvHeads), split('v', kvHeads));
        add(x, linear(attended.view([1, tokens.length, heads * headDim]), weights[`${l}.o`]));
        const inner = linear(rmsNorm(x, weights[`${l}.norm2.weight`]), weights[`${l}.up`]);
        add(
          x,
          linear(
            mapInPlace(inner, (z) => z / (1 + Math.exp(-z))),
            weights[`${l}.down`],
          ),
        );
      }
      return linear(rmsNorm(x, weights.norm_weight), weights.embedding).toArray();
    });
  }
}
