import { KVCache } from '../attention/cache.ts';
import { checkKeyLengths } from '../attention/masks/definitions.ts';
import type { AttentionOptions } from '../attention/options.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkFinite, checkInteger, checkOptions, checkPositive, checkSameShape, checkTensor } from '../check.ts';
import { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { copyColumns, putColumns } from './elementwise.ts';
import {
  cacheOptions,
  cacheShape,
  checkCache,
  defaultScale,
  type LatentAttendOptions,
  type LatentAttentionOptions,
  type LatentCacheOptions,
  type LatentForwardOptions,
  latentShapes,
  positionsOf,
} from './latentOptions.ts';
import { Layer } from './layer.ts';
import { linear } from './linear.ts';

const sizes = ['hiddenDim', 'heads', 'latentDim', 'nopeDim', 'ropeDim', 'valueDim'] as const;
const layerOptions = new Set([
  'hiddenDim',
  'heads',
  'latentDim',
  'nopeDim',
  'ropeDim',
  'valueDim',
  'queryRank',
  'rope',
  'scale',
  'bias',
  'epsilon',
]);
const ropeOptions = new Set(['base', 'style', 'scaling']);
const forwardOptions = new Set(['causal', 'keyLengths', 'cache']);
const attendOptions = new Set(['causal', 'keyLengths', 'offset']);

/**
 * Multi-head latent attention (DeepSeek-V2 and V3) in its absorbed form: keys and values of all heads are one latent a token,
 * and that is what a cache holds.
 *
 * With `c = norm(W_DKV x)` and `W_UK`, `W_UV` the halves of kv_b_proj: `score = scale·((W_UKᵀ q_nope)·c + q_rope·k_rope)`,
 * `output = W_o·concat(W_UV·Σ weight·c)`, so that one KV head of latentDim + ropeDim serves all heads.
 * Parameters have DeepSeek's names: `q_a_proj.weight` [queryRank, hiddenDim], `q_a_layernorm.weight`, `q_b_proj.weight`
 * [heads·(nopeDim + ropeDim), queryRank] (or `q_proj.weight`), `kv_a_proj_with_mqa.weight` [latentDim + ropeDim, hiddenDim],
 * `kv_a_layernorm.weight`, `kv_b_proj.weight` [heads·(nopeDim + valueDim), latentDim], `o_proj.weight` [hiddenDim,
 * heads·valueDim]. Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1 and appendix C.
 *
 * @example
 * const cache = attention.cache({ maxLength: 4096 });
 * const output = attention.forward(prompt, { cache });                       // causal
 * const next = attention.forward(token, { cache });
 * @example
 * const latents = attention.latents(token, { offset: 10 });                 // [batch, 1, latentDim + ropeDim], to be kept
 * const next = attention.attend(token, kept);                               // kept [batch, 11, latentDim + ropeDim]
 */
export class MultiHeadLatentAttention extends Layer {
  readonly #options: LatentAttentionOptions;
  readonly #rope: RotaryEmbedding;
  readonly #scale: number;

  constructor(runtime: Runtime, options: LatentAttentionOptions) {
    const where = 'MultiHeadLatentAttention';
    checkOptions(where, options, layerOptions);
    for (const name of sizes) checkInteger(where, name, options[name], 1);
    if (options.queryRank !== undefined) checkInteger(where, 'queryRank', options.queryRank, 1);
    const { heads, latentDim, nopeDim, ropeDim, rope = {}, epsilon = 1e-6 } = options;
    checkPositive(where, 'epsilon', epsilon);
    checkOptions(where, rope, ropeOptions);
    const scale = options.scale ?? defaultScale(options, whole(runtime).math);
    checkFinite(where, 'scale', scale);
    const rotary = new RotaryEmbedding(runtime, { headDim: ropeDim, style: 'interleaved', ...rope });
    super(runtime, where, latentShapes(options), { absorbed: [heads, latentDim, nopeDim] });
    this.#options = { ...options, epsilon };
    this.#rope = rotary;
    this.#scale = scale;
  }

  /**
   * A cache of latents for `forward`: one KV head, whose values lie in its keys, (latentDim + ropeDim) · 4 bytes a token in float32.
   * With `sinks`, these keep the positions that they had in the text.
   *
   * @param options of `KVCache`: `batch`, `maxLength` or `window`, `dtype`, pages
   */
  cache(options: LatentCacheOptions): KVCache {
    checkOptions('MultiHeadLatentAttention.cache', options, cacheOptions);
    return new KVCache(this.runtime, { ...options, ...cacheShape(this.#options) });
  }

  /**
   * What a cache holds of each token: its latent, normalised, and its rotated key.
   *
   * @param input float32 [batch, length, hiddenDim]
   * @param options.offset position of the first token, a number or one per batch; default 0
   * @returns [batch, length, latentDim + ropeDim]
   */
  latents(input: Tensor, options: { offset?: number | ArrayLike<number> } = {}): Tensor {
    const where = 'MultiHeadLatentAttention.latents';
    const { offset = 0 } = options;
    const [batch, length] = this.#check(where, input);
    const positions = positionsOf(where, offset, batch, length);
    const { latentDim, ropeDim, epsilon } = this.#options;
    return this.runtime.scope(() => {
      const part = (start: number, count: number) => this.#part('kv_a_proj_with_mqa', input, start, count);
      const latent = this.rmsNorm('kv_a_layernorm', part(0, latentDim), epsilon);
      const key = part(latentDim, ropeDim);
      this.#rope.apply(key.view([batch, length, 1, ropeDim]), { layout: 'bshd', positions });
      const dim = latentDim + ropeDim;
      const output = this.runtime.empty([batch, length, dim]);
      putColumns({ tensor: output, dim, offset: 0 }, latent, key);
      return output;
    });
  }

  /**
   * @param input float32 [batch, queries, hiddenDim]
   * @param latents float32 [batch, keys, latentDim + ropeDim], those of the input's own tokens too
   * @returns [batch, queries, hiddenDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  attend(input: Tensor, latents: Tensor, options: LatentAttendOptions = {}): Tensor {
    const where = 'MultiHeadLatentAttention.attend';
    const [batch, queries] = this.#check(where, input);
    checkOptions(where, options, attendOptions);
    const { latentDim, ropeDim } = this.#options;
    const dim = latentDim + ropeDim;
    checkTensor(where, 'latents', latents, this.runtime, { rank: 3 });
    const keys = latents.shape[1];
    checkSameShape(where, 'latents', latents.shape, [batch, keys, dim]);
    const { causal = true, keyLengths } = options;
    if (keyLengths !== undefined) checkKeyLengths(where, keyLengths, batch, keys);
    const { offset = Array.from({ length: batch }, (_, b) => (keyLengths ? keyLengths[b] : keys) - queries) } = options;
    const positions = positionsOf(where, offset, batch, queries);
    return this.runtime.scope(() => {
      const query = this.#query(input, positions);
      return this.#output(query, latents.view([batch, keys, 1, dim]), { causal, queryOffset: offset, keyLengths });
    });
  }

  /**
   * Self-attention; with `cache` of tokens that follow those in it, to which they are appended.
   *
   * @param input float32 [batch, queries, hiddenDim]
   * @param options.cache made by `cache` or alike
   * @returns [batch, queries, hiddenDim]
   * @throws Error before `load`; otherwise as `KVCache.append`, and as `scaledDotProductAttention`: if memory for that is lacking, the tokens
   * are in the cache already
   */
  forward(input: Tensor, options: LatentForwardOptions = {}): Tensor {
    const where = 'MultiHeadLatentAttention.forward';
    const [batch, queries] = this.#check(where, input);
    checkOptions(where, options, forwardOptions);
    const { cache, causal = true, keyLengths } = options;
    if (keyLengths !== undefined) checkKeyLengths(where, keyLengths, batch, queries);
    if (cache === undefined)
      return this.runtime.scope(() => this.attend(input, this.latents(input), { causal, keyLengths, offset: 0 }));
    checkCache(where, this.runtime, cache, { batch, ...cacheShape(this.#options) });
    const offset = cache.positions;
    return this.runtime.scope(() => {
      const query = this.#query(input, positionsOf(where, offset, batch, queries));
      const latents = this.latents(input, { offset });
      cache.append(latents.view([batch, 1, queries, cache.headDim]), undefined, { lengths: keyLengths });
      const queryOffset = cache.lengths.map((length, b) => length - (keyLengths ? keyLengths[b] : queries));
      return this.#output(query, cache, { causal, queryOffset });
    });
  }

  protected override derive(): void {
    const { heads, latentDim, nopeDim, valueDim } = this.#options;
    const [from, to] = [this.parameter('kv_b_proj.weight').data, this.parameter('absorbed').data];
    for (let h = 0, at = 0; h < heads; h++) {
      for (let l = 0; l < latentDim; l++) {
        for (let n = 0; n < nopeDim; n++) to[at++] = from[(h * (nopeDim + valueDim) + n) * latentDim + l];
      }
    }
  }

  #check(where: string, input: Tensor): readonly number[] {
    this.checkLoaded(where);
    checkTensor(where, 'input', input, this.runtime, { rank: 3 });
    checkSameShape(where, 'input', input.shape, [input.shape[0], input.shape[1], this.#options.hiddenDim]);
    return input.shape;
  }

  /** `count` features from `start` on of a projection. */
  #part(name: string, input: Tensor, start: number, count: number): Tensor {
    return linear(
      input,
      this.parameter(`${name}.weight`).slice(start, count),
      this.find(`${name}.bias`)?.slice(start, count),
    );
  }

  /** Absorbed queries [batch, queries, heads, latentDim + ropeDim]. */
  #query(input: Tensor, positions: readonly number[]): Tensor {
    const { heads, queryRank, latentDim, nopeDim, ropeDim, epsilon } = this.#options;
    const low = queryRank ? this.rmsNorm('q_a_layernorm', this.project('q_a_proj', input), epsilon) : input;
    const name = queryRank ? 'q_b_proj' : 'q_proj';
    const [batch, queries] = input.shape;
    const dim = heads * (latentDim + ropeDim);
    const query = this.runtime.empty([batch, queries, dim]);
    for (let h = 0; h < heads; h++) {
      const start = h * (nopeDim + ropeDim);
      this.runtime.scope(() => {
        const matrix = this.parameter('absorbed').slice(h, 1).view([latentDim, nopeDim]);
        const absorbed = linear(this.#part(name, low, start, nopeDim), matrix);
        const turned = this.#part(name, low, start + nopeDim, ropeDim).view([batch, queries, 1, ropeDim]);
        this.#rope.apply(turned, { layout: 'bshd', positions });
        putColumns({ tensor: query, dim, offset: h * (latentDim + ropeDim) }, absorbed, turned);
      });
    }
    return query.view([batch, queries, heads, latentDim + ropeDim]);
  }

  /** Attention to latents [batch, keys, 1, latentDim + ropeDim], of which values are the first latentDim columns. */
  #output(query: Tensor, latents: Tensor | KVCache, options: AttentionOptions): Tensor {
    const { runtime } = this;
    const { heads, latentDim, nopeDim, valueDim } = this.#options;
    const [batch, queries] = query.shape;
    const attention = { ...options, layout: 'bshd', scale: this.#scale, valueDim: latentDim } as const;
    const attended =
      latents instanceof KVCache
        ? scaledDotProductAttention(query, latents, attention)
        : scaledDotProductAttention(query, latents, latents, attention);
    const values = runtime.empty([batch, queries, heads * valueDim]);
    for (let h = 0; h < heads; h++) {
      runtime.scope(() => {
        const latent = runtime.empty([batch, queries, latentDim]);
        const from = { tensor: attended, dim: heads * latentDim, offset: h * latentDim };
        copyColumns({ tensor: latent, dim: latentDim, offset: 0 }, from, latentDim);
        const value = this.#part('kv_b_proj', latent, h * (nopeDim + valueDim) + nopeDim, valueDim);
        putColumns({ tensor: values, dim: heads * valueDim, offset: h * valueDim }, value);
      });
    }
    return this.project('o_proj', values);
  }
}
