import { type Float64NdArray, type NdArray, type Precision, type Round, rounder, zeros } from './array.ts';

/**
 * Softmax of one row and its logarithm of the sum, in two passes.
 *
 * `w_j = e^{s_j − m} / Σ`, `lse = m + ln Σ`, `Σ = Σ_k e^{s_k − m} (+ e^{sink − m})`, `m = max(s, sink)`.
 *
 * A score of −Infinity is a masked position: weight 0, whatever the others are. A row of nothing else gives weights 0
 * and `lse = sink` (−Infinity without a sink). A NaN makes every other weight NaN.
 */
export function softmaxRow(scores: Float64Array, round: Round, sink = -Infinity) {
  const weights = new Float64Array(scores.length);
  const max = scores.reduce((m, score) => Math.max(m, score), sink);
  if (max === -Infinity) return { weights, lse: -Infinity };
  const exp = (score: number) => (score === -Infinity ? 0 : round(Math.exp(round(score - max))));
  let sum = 0;
  for (let j = 0; j < scores.length; j++) {
    weights[j] = exp(scores[j]);
    sum = round(sum + weights[j]);
  }
  sum = round(sum + exp(sink));
  for (let j = 0; j < scores.length; j++) {
    if (scores[j] !== -Infinity) weights[j] = round(weights[j] / sum);
  }
  return { weights, lse: round(max + round(Math.log(sum))) };
}

/**
 * Softmax over the last axis: `y_j = e^{x_j − max x} / Σ_k e^{x_k − max x}`; a row of −Infinity gives zeros.
 *
 * @param input [..., n]
 * @returns [..., n]
 */
export function softmax(input: NdArray, options: { precision?: Precision } = {}): Float64NdArray {
  const round = rounder(options.precision);
  const output = zeros(input.shape);
  const n = input.shape[input.shape.length - 1];
  for (let start = 0; start < output.data.length; start += n) {
    const row = Float64Array.from({ length: n }, (_, j) => input.data[start + j]);
    output.data.set(softmaxRow(row, round).weights, start);
  }
  return output;
}
