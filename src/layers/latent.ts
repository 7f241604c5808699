import { checkKeyLengths } from '../attention/masks/definitions.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkFinite, checkInteger, checkOptions, checkPositive, checkSameShape, checkTensor } from '../check.ts';
import { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { copyColumns } from './elementwise.ts';
import {
  defaultScale,
  type LatentAttendOptions,
  type LatentAttentionOptions,
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
const forwardOptions = new Set(['causal', 'keyLengths']);
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
 * const output = attention.forward(prompt);                                  // causal
 * const latents = attention.latents(token, { offset: 10 });                 // [batch, 1, latentDim + ropeDim], to be cached
 * const next = attention.attend(token, cached);                             // cached [batch, 11, latentDim + ropeDim]
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
   * What a cache holds of each token: its latent, normalised, and its rotated key.
   *
   * @param input float32 [batch, length, hiddenDim]
   * @param options.offset position of the first token, a number or one per batch; default 0
   * @returns [batch, length, latentDim + ropeDim]
   */
  latents(input: Tensor, { offset = 0 }: { offset?: number | ArrayLike<number> } = {}): Tensor {
    const where = 'MultiHeadLatentAttention.latents';
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
      copyColumns({ tensor: output, dim, offset: 0 }, { tensor: latent, dim: latentDim, offset: 0 }, latentDim);
      copyColumns({ tensor: output, dim, offset: latentDim }, { tensor: key, dim: ropeDim, offset: 0 }, ropeDim);
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
    const { heads, latentDim, ropeDim } = this.#options;
    const dim = latentDim + ropeDim;
    checkTensor(where, 'latents', latents, this.runtime, { rank: 3 });
    const keys = latents.shape[1];
    checkSameShape(where, 'latents', latents.shape, [batch, keys, dim]);
    const { causal = true, keyLengths } = options;
    if (keyLengths !== undefined) checkKeyLengths(where, keyLengths, batch, keys);
    const { offset = Array.from({ length: batch }, (_, b) => (keyLengths ? keyLengths[b] : keys) - queries) } = options;
    const positions = positionsOf(where, offset, batch, queries);
    return this.runtime.scope(() => {
      const query = this.#query(input, positions).view([batch, queries, heads, dim]);
      const key = latents.view([batch, keys, 1, dim]);
      // Values are the first latentDim columns of the keys. The rest is attended to as well, and left: cheaper than a copy.
      const attention = { layout: 'bshd', scale: this.#scale, causal, queryOffset: offset, keyLengths } as const;
      return this.#output(scaledDotProductAttention(query, key, key, attention));
    });
  }

  /** Self-attention without a cache: `attend` to the input's own latents, from position 0 on. */
  forward(input: Tensor, options: Omit<LatentAttendOptions, 'offset'> = {}): Tensor {
    checkOptions('MultiHeadLatentAttention.forward', options, forwardOptions);
    return this.runtime.scope(() => this.attend(input, this.latents(input), { ...options, offset: 0 }));
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

  /** Absorbed queries [batch, queries, heads · (latentDim + ropeDim)]. */
  #query(input: Tensor, positions: readonly number[]): Tensor {
    const { heads, queryRank, latentDim, nopeDim, ropeDim, epsilon } = this.#options;
    const low = queryRank ? this.rmsNorm('q_a_layernorm', this.project('q_a_proj', input), epsilon) : input;
    const name = queryRank ? 'q_b_proj' : 'q_proj';
    const [batch, queries] = input.shape;
    const dim = heads * (latentDim + ropeDim);
    const query = this.runtime.empty([batch, queries, dim]);
    for (let h = 0; h < heads; h++) {
      const start = h * (nopeDim + ropeDim);
      const at = h * (latentDim + ropeDim);
      this.runtime.scope(() => {
        const matrix = this.parameter('absorbed').slice(h, 1).view([latentDim, nopeDim]);
        const absorbed = linear(this.#part(name, low, start, nopeDim), matrix);
        const turned = this.#part(name, low, start + nopeDim, ropeDim).view([batch, queries, 1, ropeDim]);
        this.#rope.apply(turned, { layout: 'bshd', positions });
        copyColumns({ tensor: query, dim, offset: at }, { tensor: absorbed, dim: latentDim, offset: 0 }, latentDim);
        copyColumns(
          { tensor: query, dim, offset: at + latentDim },
          { tensor: turned, dim: ropeDim, offset: 0 },
          ropeDim,
        );
      });
    }
    return query;
  }

  /** Attended latents [batch, queries, heads, latentDim + ropeDim] → [batch, queries, hiddenDim]. */
  #output(attended: Tensor): Tensor {
    const { runtime } = this;
    const { heads, latentDim, nopeDim, valueDim } = this.#options;
    const [batch, queries, , width] = attended.shape;
    const values = runtime.empty([batch, queries, heads * valueDim]);
    for (let h = 0; h < heads; h++) {
      runtime.scope(() => {
        const latent = runtime.empty([batch, queries, latentDim]);
        const from = { tensor: attended, dim: heads * width, offset: h * width };
        copyColumns({ tensor: latent, dim: latentDim, offset: 0 }, from, latentDim);
        const value = this.#part('kv_b_proj', latent, h * (nopeDim + valueDim) + nopeDim, valueDim);
        const to = { tensor: values, dim: heads * valueDim, offset: h * valueDim };
        copyColumns(to, { tensor: value, dim: valueDim, offset: 0 }, valueDim);
      });
    }
    return this.project('o_proj', values);
  }
}
