import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import {
  checkFinite,
  checkInteger,
  checkOptions,
  checkPositive,
  checkSameShape,
  checkTensor,
  wrongValue,
} from '../check.ts';
import { RotaryEmbedding, type RotaryEmbeddingOptions } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { copyColumns } from './elementwise.ts';
import { Layer, linearShapes } from './layer.ts';
import { rmsNorm } from './norm.ts';

/** Sizes of a `DifferentialAttention`. */
export type DifferentialAttentionOptions = {
  /** Size of an input and an output vector. */
  embedDim: number;
  /** Pairs of query heads, of embedDim / heads / 2 dimensions each. */
  heads: number;
  /** Pairs of key heads, pair of heads `h` reads pair `⌊h / (heads/kvHeads)⌋`; divides heads; default heads. */
  kvHeads?: number;
  /** Number of the layer in its model, from 0: `λ_init = 0.8 − 0.6·e^{−0.3·depth}`. */
  depth: number;
  /** Rotary embedding of queries and keys, style `'interleaved'` by default; without it there is none. */
  rope?: Pick<RotaryEmbeddingOptions, 'base' | 'style' | 'scaling'>;
  /** Of the RMS norm; default 1e-5. */
  epsilon?: number;
};

const layerOptions = new Set(['embedDim', 'heads', 'kvHeads', 'depth', 'rope', 'epsilon']);
const ropeOptions = new Set(['base', 'style', 'scaling']);
const forwardOptions = new Set(['causal']);

/**
 * Differential attention: two softmax maps a head, the second subtracted, so that what both attend to cancels.
 *
 * `head = (1 − λ_init)·norm((softmax(Q₁K₁ᵀ/√d) − λ·softmax(Q₂K₂ᵀ/√d))·V)`, `λ = e^{λ_q1·λ_k1} − e^{λ_q2·λ_k2} + λ_init`.
 * Parameters have the names of the authors' `MultiheadFlashDiff1`, which groups heads by pairs: `q_proj.weight` and `out_proj.weight` [embedDim, embedDim],
 * `k_proj.weight` and `v_proj.weight` [embedDim·kvHeads/heads, embedDim], `lambda_q1`, `lambda_k1`, `lambda_q2`, `lambda_k2`
 * [d], `subln.weight` [2d], `d = embedDim/heads/2`. Source: Ye et al. 2024, eq. 1–3.
 *
 * @example
 * const attention = new DifferentialAttention(runtime, { embedDim: 512, heads: 4, depth: 0, rope: {} }).load(stateDict);
 * const output = attention.forward(x, { causal: true });
 */
export class DifferentialAttention extends Layer {
  readonly #heads: number;
  readonly #kvHeads: number;
  readonly #headDim: number;
  readonly #epsilon: number;
  readonly #lambdaInit: number;
  readonly #rope: RotaryEmbedding | undefined;
  #lambda = 0;

  constructor(runtime: Runtime, options: DifferentialAttentionOptions) {
    const where = 'DifferentialAttention';
    checkOptions(where, options, layerOptions);
    const { embedDim, heads, kvHeads = heads, depth, rope, epsilon = 1e-5 } = options;
    for (const [name, size] of Object.entries({ embedDim, heads, kvHeads })) checkInteger(where, name, size, 1);
    if (embedDim % (2 * heads) !== 0)
      throw wrongValue(where, 'embedDim', `is ${embedDim}, not a multiple of 2 · heads (${2 * heads})`);
    if (heads % kvHeads !== 0) throw wrongValue(where, 'heads', `is ${heads}, not a multiple of kvHeads ${kvHeads}`);
    checkFinite(where, 'depth', depth);
    checkPositive(where, 'epsilon', epsilon);
    if (rope !== undefined) checkOptions(where, rope, ropeOptions);
    const headDim = embedDim / heads / 2;
    const rotary = rope && new RotaryEmbedding(runtime, { headDim, style: 'interleaved', ...rope });
    const lambdas = ['lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2'].map((name) => [name, [headDim]]);
    super(
      runtime,
      where,
      {
        ...linearShapes('q_proj', embedDim, embedDim, false),
        ...linearShapes('k_proj', embedDim, 2 * kvHeads * headDim, false),
        ...linearShapes('v_proj', embedDim, 2 * kvHeads * headDim, false),
        ...linearShapes('out_proj', embedDim, embedDim, false),
        ...Object.fromEntries(lambdas),
        'subln.weight': [2 * headDim],
      },
      { scaled: [2 * headDim] },
    );
    this.#heads = heads;
    this.#kvHeads = kvHeads;
    this.#headDim = headDim;
    this.#epsilon = epsilon;
    this.#rope = rotary;
    this.#lambdaInit = 0.8 - 0.6 * whole(runtime).math.exp(-0.3 * depth);
  }

  /**
   * @param input float32 [batch, length, embedDim]
   * @param options.causal whether a position sees no later one; default false
   * @returns [batch, length, embedDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(input: Tensor, options: { causal?: boolean } = {}): Tensor {
    const where = 'DifferentialAttention.forward';
    this.checkLoaded(where);
    checkOptions(where, options, forwardOptions);
    checkTensor(where, 'input', input, this.runtime, { rank: 3 });
    const [batch, length] = input.shape;
    const embedDim = 2 * this.#heads * this.#headDim;
    checkSameShape(where, 'input', input.shape, [batch, length, embedDim]);
    return this.runtime.scope(() => {
      const query = this.project('q_proj', input);
      const key = this.project('k_proj', input);
      const value = this.project('v_proj', input).view([batch, length, this.#kvHeads, 2 * this.#headDim]);
      const [first, second] = [0, 1].map((half) =>
        scaledDotProductAttention(this.#half(query, this.#heads, half), this.#half(key, this.#kvHeads, half), value, {
          layout: 'bshd',
          causal: options.causal ?? false,
        }),
      );
      const [to, subtracted] = [first.data, second.data];
      for (let at = 0; at < to.length; at++) to[at] -= this.#lambda * subtracted[at];
      const heads = rmsNorm(first, this.parameter('scaled'), this.#epsilon);
      return this.project('out_proj', heads.view([batch, length, embedDim]));
    });
  }

  protected override derive(): void {
    const product = (i: number) => {
      const [q, k] = [this.parameter(`lambda_q${i}`).data, this.parameter(`lambda_k${i}`).data];
      return q.reduce((sum, x, d) => sum + x * k[d], 0);
    };
    const { exp } = whole(this.runtime).math;
    this.#lambda = exp(product(1)) - exp(product(2)) + this.#lambdaInit;
    this.parameter('scaled').set(this.parameter('subln.weight').data.map((x) => x * (1 - this.#lambdaInit)));
  }

  /** The first (0) or second (1) heads of all pairs, turned: [batch, length, heads, headDim]. */
  #half(projected: Tensor, heads: number, half: number): Tensor {
    const [batch, length] = projected.shape;
    const dim = this.#headDim;
    const tensor = this.runtime.empty([batch, length, heads, dim]);
    const from = { tensor: projected, dim: 2 * dim, offset: half * dim };
    copyColumns({ tensor, dim, offset: 0 }, from, dim);
    return this.#rope?.apply(tensor, { layout: 'bshd' }) ?? tensor;
  }
}
