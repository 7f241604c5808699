import { dot, type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';

/**
 * The affine map `y = x·Wᵀ + b`.
 *
 * @param input [..., inFeatures]
 * @param weight [outFeatures, inFeatures]
 * @param bias [outFeatures]
 * @returns [..., outFeatures]
 */
export function linear(
  input: NdArray,
  weight: NdArray,
  bias?: NdArray,
  options: { precision?: Precision } = {},
): Float64NdArray {
  const round = rounder(options.precision);
  const [outFeatures, inFeatures] = weight.shape;
  const output = zeros([...input.shape.slice(0, -1), outFeatures]);
  for (let at = 0; at < output.data.length; at++) {
    const row = Math.floor(at / outFeatures);
    const column = at % outFeatures;
    const product = dot(input.data, row * inFeatures, weight.data, column * inFeatures, inFeatures, round);
    output.data[at] = bias ? round(product + bias.data[column]) : product;
  }
  return output;
}
