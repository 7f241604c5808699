import { checkOneOf, checkOptions, checkSameShape, checkTensor, wrongKind } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import type { Layout } from './options.ts';

/** output [batch, heads, queries, valueDim], lse [batch, heads, queries] */
/** Attention over some of the keys, with what it takes to merge it with that over others. */
export type AttentionState = {
  /** float32 [batch, heads, queries, valueDim], in the order of `layout`. */
  output: Tensor;
  /** float32 [batch, heads, queries]: `ln Σ_j e^{S_j}`, a sink included; −Infinity where no key is visible. */
  lse: Tensor;
};

/**
 * Merges attention over disjoint sets of keys into attention over their union.
 *
 * `m = max lse_s`, `w_s = e^{lse_s − m}`, `output = Σ w_s·output_s / Σ w_s`, `lse = m + ln Σ w_s`; a state of lse −Infinity
 * is the identity. A sink must be in exactly one state. Source: Ye et al. 2025 (FlashInfer); Juravsky et al. 2024.
 *
 * @param states one or more, of equal shapes; they are not changed
 * @returns a new state
 * @throws TypeError without states; otherwise as `scaledDotProductAttention`
 */
export function mergeStates(states: readonly AttentionState[], options: { layout?: Layout } = {}): AttentionState {
  const where = 'mergeStates';
  checkOptions(where, options, new Set(['layout']));
  const { layout = 'bhsd' } = options;
  if (!Array.isArray(states) || states.length === 0)
    throw wrongKind(where, 'states', 'a non-empty array of states', states);
  checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
  const [first] = states as AttentionState[];
  const runtime = first?.output?.runtime;
  (states as AttentionState[]).forEach((state, s) => {
    if (typeof state !== 'object' || state === null) throw wrongKind(where, `states[${s}]`, '{ output, lse }', state);
    const { output, lse } = state;
    checkTensor(where, `states[${s}].output`, output, runtime, { rank: 4 });
    checkTensor(where, `states[${s}].lse`, lse, runtime, { rank: 3 });
    checkSameShape(where, `states[${s}].output`, output.shape, first.output.shape);
    const [batch, second, third] = output.shape;
    const rows = layout === 'bhsd' ? [batch, second, third] : [batch, third, second];
    checkSameShape(where, `states[${s}].lse`, lse.shape, rows);
  });
  const [batch, heads, queries] = first.lse.shape;
  const dim = first.output.shape[3];
  return runtime.allOrNothing((make) => {
    const output = make(first.output.shape);
    const lse = make(first.lse.shape);
    output.data.fill(0);
    lse.data.fill(Number.NEGATIVE_INFINITY);
    // bshd: the rows of a head are heads · dim apart.
    const rowStride = layout === 'bhsd' ? dim : heads * dim;
    for (const other of states as AttentionState[]) {
      for (let head = 0; head < batch * heads; head++) {
        const b = Math.floor(head / heads);
        const start = layout === 'bhsd' ? head * queries * dim : (b * queries * heads + (head % heads)) * dim;
        const row = head * queries * 4;
        runtime.kernels.merge(
          output.address + start * 4,
          lse.address + row,
          other.output.address + start * 4,
          other.lse.address + row,
          queries,
          dim,
          rowStride,
        );
      }
    }
    return { output, lse };
  });
}
