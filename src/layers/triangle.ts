import { checkOneOf, checkSameShape, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { attentionShapes, checkInput, checkSizes, pairBias } from './alphaFold.ts';
import { swapAxes } from './elementwise.ts';
import { attendGated } from './gated.ts';
import { Layer, linearShapes, normShapes } from './layer.ts';

/** Sizes of a `TriangleAttention`, and around which node it is. */
export type TriangleAttentionOptions = {
  /** c_z: size of a vector of the pair representation. */
  pairDim: number;
  /** The inner dimension is heads · headDim. */
  heads: number;
  headDim: number;
  /** `'starting'`: pair (i, j) attends to pairs (i, k); `'ending'`: to pairs (k, j). */
  node: 'starting' | 'ending';
  /**
   * Around the ending node, the edge that the bias for edge kj is from: `'ki'` (default; AlphaFold 2, the paper of AlphaFold 3, OpenFold,
   * Boltz, Protenix) or `'ik'`, as in the code and the weights of AlphaFold 3, which projects the bias before it transposes the pairs.
   */
  endingBias?: 'ki' | 'ik';
};

/**
 * Triangle attention around the starting (Alg. 13) or ending node (Alg. 14) of the pair representation: edge ij attends to
 * the edges ik with a bias from jk; around the ending node to the edges kj with a bias from ki, which is the same on the
 * transposed pairs (or from ik: `endingBias`). The input is not added.
 *
 * Parameters: `layer_norm.*` [pairDim], `linear.weight` [heads, pairDim], `mha.*` as `GatedAttention`.
 *
 * @example
 * const ending = new TriangleAttention(runtime, { pairDim: 128, heads: 4, headDim: 32, node: 'ending' });
 * const update = ending.load(weights, { prefix: 'evoformer.blocks.0.core.tri_att_end.' }).forward(pair, mask);
 */
export class TriangleAttention extends Layer {
  readonly #options: TriangleAttentionOptions;

  constructor(runtime: Runtime, options: TriangleAttentionOptions) {
    const where = 'TriangleAttention';
    checkSizes(where, options, ['pairDim', 'heads', 'headDim'], ['node', 'endingBias']);
    const { pairDim, heads, headDim, node, endingBias = 'ki' } = options;
    checkOneOf(where, 'node', node, ['starting', 'ending']);
    checkOneOf(where, 'endingBias', endingBias, ['ki', 'ik']);
    if (node === 'starting' && endingBias === 'ik') throw wrongValue(where, 'endingBias', 'is for the ending node');
    super(runtime, where, {
      ...normShapes('layer_norm', pairDim),
      ...linearShapes('linear', pairDim, heads, false),
      ...attentionShapes(pairDim, heads, headDim),
    });
    this.#options = { ...options };
  }

  /**
   * @param pair float32 [residues, residues, pairDim]
   * @param mask boolean [residues, residues], true = present
   * @returns [residues, residues, pairDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(pair: Tensor, mask?: Tensor<'boolean'>): Tensor {
    const where = `${this.name}.forward`;
    const { pairDim, heads, node, endingBias } = this.#options;
    const [residues] = checkInput(where, this, 'pair', pair, pairDim, mask);
    checkSameShape(where, 'pair', pair.shape, [residues, residues, pairDim]);
    return this.runtime.scope(() => {
      const turn = node === 'ending' ? swapAxes : (tensor: typeof pair) => tensor;
      const normed = this.layerNorm('layer_norm', pair);
      const z = turn(normed);
      const bias = pairBias(endingBias === 'ik' ? normed : z, this.parameter('linear.weight'));
      const visible = mask && node === 'ending' ? swapAxes(mask) : mask;
      return turn(attendGated(this, 'mha.', heads, z, z, { mask: visible, bias }));
    });
  }
}
