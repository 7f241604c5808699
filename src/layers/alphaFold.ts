import { checkInteger, checkOptions, checkSameShape, checkTensor } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import { checkMask, gatedShapes } from './gated.ts';
import { type Layer, prefixed, type Shapes } from './layer.ts';
import { linear } from './linear.ts';

// What the attention layers of AlphaFold 2's Evoformer (Jumper et al. 2021, supplement) share. Their parameters have OpenFold's names.
// None adds its input: `x + layer.forward(x)` is the residual update. Rows that see nothing give linear_o.bias.

export function checkSizes(where: string, options: object, sizes: readonly string[], others: readonly string[] = []) {
  checkOptions(where, options, new Set([...sizes, ...others]));
  for (const name of sizes) checkInteger(where, name, (options as Record<string, unknown>)[name], 1);
}

export function attentionShapes(dim: number, heads: number, headDim: number): Shapes {
  return prefixed('mha.', gatedShapes({ queryDim: dim, keyDim: dim, heads, headDim, gating: true, queryBias: false }));
}

export function checkInput(
  where: string,
  layer: Layer,
  name: string,
  input: Tensor,
  dim: number,
  mask?: Tensor<'boolean'>,
) {
  layer.checkLoaded(where);
  checkTensor(where, name, input, layer.runtime, { rank: 3 });
  const [rows, columns] = input.shape;
  checkSameShape(where, name, input.shape, [rows, columns, dim]);
  checkMask(where, mask, layer.runtime, [rows, columns]);
  return [rows, columns];
}

/** pair [i, j, dim] by weight [heads, dim] → [heads, i, j]: W·zᵀ, which puts the heads first without a transposition. */
export function pairBias(pair: Tensor, weight: Tensor): Tensor {
  const [i, j, dim] = pair.shape;
  return linear(weight, pair.view([i * j, dim])).view([weight.shape[0], i, j]);
}
