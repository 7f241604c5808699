import { fillTail } from './micro/rows';
import { exp2 } from './simd/exp2';

// The positive random features of FAVOR+ without a bound on what they hold: row i of the state and of the sums lacks a factor 2^logs[i],
// which grows like the running max of the online softmax, and with which the query's features make up. It cancels in the quotient.
// All rows are padded to a multiple of 4.

/** Rise of an exponent, in log2, from which the state is rescaled (FlashAttention-4's lazy rescale). */
const LAZY: f32 = 8;

/**
 * Exponents of a key → its features 2^(row − logs), with logs raised where they exceed it by `LAZY` or where the sum is empty (0).
 * @param decays what the rows of the state and of the sums are to be multiplied by first, if the result is true
 */
export function raise(row: usize, logs: usize, sums: usize, decays: usize, features: i32): bool {
  const zero = f32x4.splat(0), one = f32x4.splat(1), lazy = f32x4.splat(LAZY);
  let any = zero;
  for (let i: usize = 0; i < <usize>features << 2; i += 16) {
    const x = v128.load(row + i), old = v128.load(logs + i);
    const empty = f32x4.eq(v128.load(sums + i), zero), over = f32x4.gt(x, f32x4.add(old, lazy));
    const next = v128.bitselect(x, old, v128.or(empty, over));
    const factor = v128.bitselect(one, exp2(f32x4.sub(old, next)), empty);
    v128.store(logs + i, next);
    v128.store(decays + i, factor);
    v128.store(row + i, exp2(f32x4.sub(x, next)));
    any = v128.or(any, v128.andnot(over, empty));
  }
  fillTail(row, features, 4, 0);
  return v128.any_true(any);
}

/** Exponents of a query → its features 2^(row + logs − max). The row's tail becomes 0. */
export function weigh(row: usize, logs: usize, features: i32): void {
  const end = <usize>features << 2;
  let max = f32x4.splat(-f32.MAX_VALUE);
  for (let i: usize = 0; i < end; i += 16) {
    const x = f32x4.add(v128.load(row + i), v128.load(logs + i));
    v128.store(row + i, x);
    max = f32x4.pmax(max, x);
  }
  max = f32x4.pmax(max, i32x4.shuffle(max, max, 2, 3, 0, 1));
  max = f32x4.pmax(max, i32x4.shuffle(max, max, 1, 0, 3, 2));
  for (let i: usize = 0; i < end; i += 16) v128.store(row + i, exp2(f32x4.sub(v128.load(row + i), max)));
}
