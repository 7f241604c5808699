import { type Float64NdArray, headsOf, type Layout, type NdArray, type Precision, rounder, zeros } from './array.ts';

/**
 * RoPE-Mixed: at positions `p_a` on the axes `a`, pair `k` of head `h` turns by the angle `Σ_a p_a·θ_ahk`.
 *
 * Source: Heo et al. 2024 (Rotary Position Embedding for Vision Transformer), eq. 13 and 14.
 *
 * @param input [batch, heads, sequence, headDim] in the order of `layout`
 * @param frequencies [axes, heads, headDim/2]
 * @param positions [axes, batch or 1, sequence]
 * @param options.style which dimensions make pair `k`: `'interleaved'` (default) 2k and 2k+1, `'half'` k and k + headDim/2
 */
export function mixedRotaryEmbedding(
  input: NdArray,
  frequencies: NdArray,
  positions: NdArray,
  options: { style?: 'half' | 'interleaved'; layout?: Layout; precision?: Precision } = {},
): Float64NdArray {
  const { style = 'interleaved', layout, precision } = options;
  const round = rounder(precision);
  const { batch, heads, length, headDim, start } = headsOf(input, layout);
  const pairs = headDim / 2;
  const [axes, batches] = positions.shape;
  const output = zeros(input.shape);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < length; i++) {
        for (let k = 0; k < pairs; k++) {
          let angle = 0;
          for (let a = 0; a < axes; a++)
            angle +=
              positions.data[(a * batches + (b % batches)) * length + i] *
              frequencies.data[(a * heads + h) * pairs + k];
          const first = start(b, h, i) + (style === 'half' ? k : 2 * k);
          const second = style === 'half' ? first + pairs : first + 1;
          const [x, y] = [input.data[first], input.data[second]];
          const [c, s] = [round(Math.cos(angle)), round(Math.sin(angle))];
          output.data[first] = round(round(x * c) - round(y * s));
          output.data[second] = round(round(x * s) + round(y * c));
        }
      }
    }
  }
  return output;
}
