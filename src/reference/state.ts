import { type Float64NdArray, headsOf, type Layout, type NdArray, type Precision, rounder, zeros } from './array.ts';

/** Attention over some of the keys: output, and lse = `ln Σ_j e^{S_j}`. */
export type AttentionState<T extends NdArray = NdArray> = { output: T; lse: T };

/**
 * Merges attention over disjoint sets of keys into attention over their union.
 *
 * `m = max_s lse_s`, `w_s = e^{lse_s − m}`, `output = Σ_s w_s·output_s / Σ_s w_s`, `lse = m + ln Σ_s w_s`.
 *
 * A state of lse −Infinity is the identity: its output is not read. If all are, the result is output 0, lse −Infinity.
 * A sink must be in exactly one of the states.
 *
 * Source: Ye et al. 2025 (FlashInfer), "attention composition"; Juravsky et al. 2024 (Hydragen), softmax rescaling.
 *
 * @param states output [batch, heads, queries, valueDim] (in the order of `layout`), lse [batch, heads, queries]
 */
export function mergeStates(
  states: readonly AttentionState[],
  options: { layout?: Layout; precision?: Precision } = {},
): AttentionState<Float64NdArray> {
  const round = rounder(options.precision);
  const output = zeros(states[0].output.shape);
  const lse = zeros(states[0].lse.shape);
  const { batch, heads, length, headDim, start } = headsOf(output, options.layout);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < length; i++) {
        const row = (b * heads + h) * length + i;
        const present = states.filter((state) => state.lse.data[row] !== -Infinity);
        const max = Math.max(...present.map((state) => state.lse.data[row]));
        const factors = present.map((state) => round(Math.exp(round(state.lse.data[row] - max))));
        const sum = factors.reduce((total, factor) => round(total + factor), 0);
        lse.data[row] = present.length === 0 ? -Infinity : round(max + round(Math.log(sum)));
        if (present.length === 0) continue;
        for (let at = start(b, h, i); at < start(b, h, i) + headDim; at++) {
          const terms = present.map((state, s) => round(factors[s] * state.output.data[at]));
          output.data[at] = round(terms.reduce((total, term) => round(total + term), 0) / sum);
        }
      }
    }
  }
  return { output, lse };
}
