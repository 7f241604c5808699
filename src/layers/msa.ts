import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkSameShape, checkTensor } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { attentionShapes, checkInput, checkSizes, pairBias } from './alphaFold.ts';
import { gateInto, swapAxes } from './elementwise.ts';
import { attendGated } from './gated.ts';
import { Layer, linearShapes, normShapes, prefixed } from './layer.ts';

export type MSAAttentionOptions = {
  /** c_m: size of a vector of the MSA representation. */
  msaDim: number;
  heads: number;
  headDim: number;
};

const msaOptions = new Set(['msaDim', 'heads', 'headDim']);
const rowOptions = new Set(['msaDim', 'heads', 'headDim', 'pairDim']);

/**
 * MSA row attention with pair bias (Alg. 7): each sequence attends along its residues, with a bias from the pair
 * representation that all sequences share. The input is not added.
 *
 * Parameters: `layer_norm_m.*` [msaDim], `layer_norm_z.*` [pairDim], `linear_z.weight` [heads, pairDim], `mha.*` as
 * `GatedAttention`.
 *
 * @example
 * const row = new MSARowAttentionWithPairBias(runtime, { msaDim: 256, pairDim: 128, heads: 8, headDim: 32 });
 * const update = row.load(weights, { prefix: 'evoformer.blocks.0.msa_att_row.' }).forward(msa, pair, mask);
 */
export class MSARowAttentionWithPairBias extends Layer {
  readonly #options: MSAAttentionOptions & { pairDim: number };

  constructor(runtime: Runtime, options: MSAAttentionOptions & { pairDim: number }) {
    const where = 'MSARowAttentionWithPairBias';
    checkSizes(where, options, rowOptions);
    const { msaDim, pairDim, heads, headDim } = options;
    super(runtime, where, {
      ...normShapes('layer_norm_m', msaDim),
      ...normShapes('layer_norm_z', pairDim),
      ...linearShapes('linear_z', pairDim, heads, false),
      ...attentionShapes(msaDim, heads, headDim),
    });
    this.#options = { ...options };
  }

  /**
   * @param msa float32 [sequences, residues, msaDim]
   * @param pair float32 [residues, residues, pairDim]
   * @param mask boolean [sequences, residues], true = present
   * @returns [sequences, residues, msaDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(msa: Tensor, pair: Tensor, mask?: Tensor<'boolean'>): Tensor {
    const where = `${this.name}.forward`;
    const { msaDim, pairDim, heads } = this.#options;
    const [, residues] = checkInput(where, this, 'msa', msa, msaDim, mask);
    checkTensor(where, 'pair', pair, this.runtime, { rank: 3 });
    checkSameShape(where, 'pair', pair.shape, [residues, residues, pairDim]);
    return this.runtime.scope(() => {
      const m = this.layerNorm('layer_norm_m', msa);
      const bias = pairBias(this.layerNorm('layer_norm_z', pair), this.parameter('linear_z.weight'));
      return attendGated(this, 'mha.', heads, m, m, { mask, bias });
    });
  }
}

/**
 * MSA column attention (Alg. 8): each residue attends along the sequences. The input is not added.
 *
 * Parameters: `layer_norm_m.*` [msaDim], `mha.*` as `GatedAttention`. OpenFold's own begin with `_msa_att.`: load with that prefix.
 *
 * @example
 * const column = new MSAColumnAttention(runtime, { msaDim: 256, heads: 8, headDim: 32 });
 * const update = column.load(weights, { prefix: 'evoformer.blocks.0.msa_att_col._msa_att.' }).forward(msa, mask);
 */
export class MSAColumnAttention extends Layer {
  readonly #options: MSAAttentionOptions;

  constructor(runtime: Runtime, options: MSAAttentionOptions) {
    const where = 'MSAColumnAttention';
    checkSizes(where, options, msaOptions);
    const { msaDim, heads, headDim } = options;
    super(runtime, where, { ...normShapes('layer_norm_m', msaDim), ...attentionShapes(msaDim, heads, headDim) });
    this.#options = { ...options };
  }

  /** As `MSARowAttentionWithPairBias.forward`, without a pair representation. */
  forward(msa: Tensor, mask?: Tensor<'boolean'>): Tensor {
    const { msaDim, heads } = this.#options;
    checkInput(`${this.name}.forward`, this, 'msa', msa, msaDim, mask);
    return this.runtime.scope(() => {
      const m = this.layerNorm('layer_norm_m', swapAxes(msa));
      return swapAxes(attendGated(this, 'mha.', heads, m, m, { mask: mask && swapAxes(mask) }));
    });
  }
}

/**
 * Global MSA column attention (Alg. 19), for the extra MSA stack: for each residue one query a head, from the mean of the
 * sequences, and one head of keys and values; the gate is each sequence's own. The input is not added.
 *
 * Parameters: `layer_norm_m.*` [msaDim], `global_attention.linear_q.weight` [heads·headDim, msaDim], `…linear_k.weight` and
 * `…linear_v.weight` [headDim, msaDim], `…linear_g.*` [heads·headDim, msaDim], `…linear_o.*` [msaDim, heads·headDim].
 */
export class MSAColumnGlobalAttention extends Layer {
  readonly #options: MSAAttentionOptions;

  constructor(runtime: Runtime, options: MSAAttentionOptions) {
    const where = 'MSAColumnGlobalAttention';
    checkSizes(where, options, msaOptions);
    const { msaDim, heads, headDim } = options;
    super(runtime, where, {
      ...normShapes('layer_norm_m', msaDim),
      ...prefixed('global_attention.', {
        ...linearShapes('linear_q', msaDim, heads * headDim, false),
        ...linearShapes('linear_k', msaDim, headDim, false),
        ...linearShapes('linear_v', msaDim, headDim, false),
        ...linearShapes('linear_g', msaDim, heads * headDim),
        ...linearShapes('linear_o', heads * headDim, msaDim),
      }),
    });
    this.#options = { ...options };
  }

  /** As `MSAColumnAttention.forward`. */
  forward(msa: Tensor, mask?: Tensor<'boolean'>): Tensor {
    const { runtime } = this;
    const { msaDim, heads, headDim } = this.#options;
    const [sequences, residues] = checkInput(`${this.name}.forward`, this, 'msa', msa, msaDim, mask);
    const project = (name: string, input: Tensor) => this.project(`global_attention.${name}`, input);
    return runtime.scope(() => {
      const m = this.layerNorm('layer_norm_m', swapAxes(msa));
      const visible = mask && swapAxes(mask).view([residues, 1, 1, sequences]);
      const mean = meanOver(m, visible);
      const q = project('linear_q', mean).view([residues, heads, 1, headDim]);
      const [k, v] = ['linear_k', 'linear_v'].map((name) => project(name, m).view([residues, 1, sequences, headDim]));
      const attended = scaledDotProductAttention(q, k, v, { mask: visible });
      const gated = gateInto(project('linear_g', m), attended);
      return swapAxes(project('linear_o', gated));
    });
  }
}

/** [batch, length, dim] → [batch, dim], the mean over the visible rows: attention whose scores are all 0. */
function meanOver(input: Tensor, mask: Tensor<'boolean'> | undefined): Tensor {
  const { runtime } = input;
  const [batch, length, dim] = input.shape;
  const [query, key] = [1, length].map((n) => runtime.zeros([batch, 1, n, 1]));
  return scaledDotProductAttention(query, key, input.view([batch, 1, length, dim]), { mask }).view([batch, dim]);
}
