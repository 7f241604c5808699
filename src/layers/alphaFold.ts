import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkInteger, checkOneOf, checkOptions, checkSameShape, checkTensor } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { gateInto, swapAxes } from './elementwise.ts';
import { attendGated, checkMask, gatedShapes } from './gated.ts';
import { Layer, linearShapes, normShapes, prefixed, type Shapes } from './layer.ts';
import { linear } from './linear.ts';

// The attention layers of AlphaFold 2's Evoformer (Jumper et al. 2021, supplement) under OpenFold's names of parameters.
// None adds its input: `x + layer.forward(x)` is the residual update. Rows that see nothing give linear_o.bias.

export type MSAAttentionOptions = {
  /** c_m: size of a vector of the MSA representation. */
  msaDim: number;
  heads: number;
  headDim: number;
};

const msaOptions = new Set(['msaDim', 'heads', 'headDim']);
const rowOptions = new Set([...msaOptions, 'pairDim']);
const triangleOptions = new Set(['pairDim', 'heads', 'headDim', 'node']);

/**
 * MSA row attention with pair bias (Alg. 7): each sequence attends along its residues, with a bias from the pair
 * representation that all sequences share.
 *
 * Parameters: `layer_norm_m.*` [msaDim], `layer_norm_z.*` [pairDim], `linear_z.weight` [heads, pairDim], `mha.*` as
 * `GatedAttention`.
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
 * MSA column attention (Alg. 8): each residue attends along the sequences.
 *
 * Parameters: `layer_norm_m.*` [msaDim], `mha.*` as `GatedAttention`. OpenFold's own begin with `_msa_att.`: load with that prefix.
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
 * sequences, and one head of keys and values; the gate is each sequence's own.
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

/**
 * Triangle attention around the starting (Alg. 13) or ending node (Alg. 14) of the pair representation: edge ij attends to
 * the edges ik with a bias from jk; around the ending node to the edges kj with a bias from ki, which is the same on the
 * transposed pairs.
 *
 * Parameters: `layer_norm.*` [pairDim], `linear.weight` [heads, pairDim], `mha.*` as `GatedAttention`.
 */
export class TriangleAttention extends Layer {
  readonly #options: TriangleAttentionOptions;

  constructor(runtime: Runtime, options: TriangleAttentionOptions) {
    const where = 'TriangleAttention';
    checkSizes(where, options, triangleOptions);
    const { pairDim, heads, headDim, node } = options;
    checkOneOf(where, 'node', node, ['starting', 'ending']);
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
    const { pairDim, heads, node } = this.#options;
    const [residues] = checkInput(where, this, 'pair', pair, pairDim, mask);
    checkSameShape(where, 'pair', pair.shape, [residues, residues, pairDim]);
    return this.runtime.scope(() => {
      const turn = node === 'ending' ? swapAxes : (tensor: typeof pair) => tensor;
      const z = this.layerNorm('layer_norm', turn(pair));
      const bias = pairBias(z, this.parameter('linear.weight'));
      const visible = mask && node === 'ending' ? swapAxes(mask) : mask;
      return turn(attendGated(this, 'mha.', heads, z, z, { mask: visible, bias }));
    });
  }
}

export type TriangleAttentionOptions = {
  /** c_z: size of a vector of the pair representation. */
  pairDim: number;
  heads: number;
  headDim: number;
  node: 'starting' | 'ending';
};

function checkSizes(where: string, options: object, known: ReadonlySet<string>): void {
  checkOptions(where, options, known);
  for (const name of known)
    if (name !== 'node') checkInteger(where, name, (options as Record<string, unknown>)[name], 1);
}

function attentionShapes(dim: number, heads: number, headDim: number): Shapes {
  return prefixed('mha.', gatedShapes({ queryDim: dim, keyDim: dim, heads, headDim, gating: true, queryBias: false }));
}

function checkInput(where: string, layer: Layer, name: string, input: Tensor, dim: number, mask?: Tensor<'boolean'>) {
  layer.checkLoaded(where);
  checkTensor(where, name, input, layer.runtime, { rank: 3 });
  const [rows, columns] = input.shape;
  checkSameShape(where, name, input.shape, [rows, columns, dim]);
  checkMask(where, mask, layer.runtime, [rows, columns]);
  return [rows, columns];
}

/** pair [i, j, dim] by weight [heads, dim] → [heads, i, j]: W·zᵀ, which puts the heads first without a transposition. */
function pairBias(pair: Tensor, weight: Tensor): Tensor {
  const [i, j, dim] = pair.shape;
  return linear(weight, pair.view([i * j, dim])).view([weight.shape[0], i, j]);
}

/** [batch, length, dim] → [batch, dim], the mean over the visible rows: attention whose scores are all 0. */
function meanOver(input: Tensor, mask: Tensor<'boolean'> | undefined): Tensor {
  const { runtime } = input;
  const [batch, length, dim] = input.shape;
  const [query, key] = [1, length].map((n) => runtime.zeros([batch, 1, n, 1]));
  return scaledDotProductAttention(query, key, input.view([batch, 1, length, dim]), { mask }).view([batch, dim]);
}
