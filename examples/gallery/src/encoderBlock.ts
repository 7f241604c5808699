import erf from '@stdlib/math-base-special-erf';
import { layerNorm, linear, MultiHeadAttention, type Runtime, type Tensor } from 'wasm-attention';
import * as reference from 'wasm-attention/reference';
import { add, type Float32NdArray, mapInPlace, seededState, select } from './common.ts';

export type BlockSizes = {
  dim: number;
  heads: number;
  /** Width of the feed-forward layer. */
  ffn: number;
  /** Layer norm after each residual sum (BERT), or before each sublayer (ViT). */
  norm: 'post' | 'pre';
  epsilon: number;
};

const gelu = (x: number) => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** A Transformer encoder block: multi-head attention and a feed-forward layer with GELU. */
export class EncoderBlock {
  readonly state: Record<string, Float32NdArray>;
  readonly #attention: MultiHeadAttention;
  readonly #weights: Record<string, Tensor>;

  constructor(
    readonly runtime: Runtime,
    readonly sizes: BlockSizes,
    seed: number,
  ) {
    const { dim, heads, ffn } = sizes;
    this.#attention = new MultiHeadAttention(runtime, { embedDim: dim, heads });
    const own = { ...this.#attention.shapes, 'ffn.0.weight': [ffn, dim], 'ffn.0.bias': [ffn] };
    const norms = Object.fromEntries(
      ['norm1', 'norm2'].flatMap((n) => [`${n}.weight`, `${n}.bias`]).map((n) => [n, [dim]]),
    );
    this.state = seededState({ ...own, 'ffn.1.weight': [dim, ffn], 'ffn.1.bias': [dim], ...norms }, seed);
    this.#attention.load(this.state, { strict: false });
    const others = Object.entries(this.state).filter(([name]) => /^(ffn|norm)/.test(name));
    this.#weights = Object.fromEntries(
      others.map(([name, { shape, data }]) => [name, runtime.keep(runtime.tensor(shape, data))]),
    );
  }

  /**
   * @param input [batch, tokens, dim]
   * @param padding [batch, tokens], true = no token here
   * @returns output [batch, tokens, dim]; with `needWeights`, weights [batch, tokens, tokens], the mean over the heads
   */
  forward(
    input: Tensor,
    { padding, needWeights = false }: { padding?: Tensor<'boolean'>; needWeights?: boolean } = {},
  ) {
    const post = this.sizes.norm === 'post';
    return this.runtime.scope(() => {
      const x = post ? input : this.#norm('norm1', input);
      const { output: attended, weights } = this.#attention.forward(x, x, x, { keyPaddingMask: padding, needWeights });
      const sum = add(attended, input);
      const middle = post ? this.#norm('norm1', sum) : sum;
      const inner = mapInPlace(this.#linear('ffn.0', post ? middle : this.#norm('norm2', middle)), gelu);
      const output = add(this.#linear('ffn.1', inner), middle);
      return { output: post ? this.#norm('norm2', output) : output, weights };
    });
  }

  /** The same in float64, of some tokens of one sequence [1, tokens, dim] without padding. */
  reference(input: Float32NdArray, tokens: readonly number[]): reference.Float64NdArray {
    const post = this.sizes.norm === 'post';
    const { state } = this;
    const norm = (name: string, x: reference.NdArray) =>
      reference.layerNorm(x, state[`${name}.weight`], state[`${name}.bias`], { epsilon: this.sizes.epsilon });
    const project = (name: string, x: reference.NdArray) =>
      reference.linear(x, state[`${name}.weight`], state[`${name}.bias`]);
    const x = post ? input : norm('norm1', input);
    const weights = state as unknown as reference.MultiHeadState;
    const { output } = reference.multiHeadAttention(select(x, tokens), x, x, this.sizes.heads, weights);
    const sum = plus(output, select(input, tokens));
    const middle = post ? norm('norm1', sum) : sum;
    const inner = mapInPlace(project('ffn.0', post ? middle : norm('norm2', middle)), gelu);
    const result = plus(project('ffn.1', inner), middle);
    return post ? norm('norm2', result) : result;
  }

  #norm(name: string, x: Tensor): Tensor {
    return layerNorm(x, this.#weights[`${name}.weight`], this.#weights[`${name}.bias`], this.sizes.epsilon);
  }

  #linear(name: string, x: Tensor): Tensor {
    return linear(x, this.#weights[`${name}.weight`], this.#weights[`${name}.bias`]);
  }
}

function plus(a: reference.Float64NdArray, b: reference.NdArray): reference.Float64NdArray {
  return { shape: a.shape, data: a.data.map((value, i) => value + b.data[i]) };
}
