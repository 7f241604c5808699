import { checkInteger, checkOptions, wrongKind, wrongValue } from '../../check.ts';
import { type Intervals, interval, none } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';
import { causalRows, windowRows } from './definitions.ts';

// Masks of positions: query `i` has position p = queryOffset + i, key `j` position j.

let causalMask: AttentionMask | undefined;

/** Key `j` is visible iff `j ≤ p`, where `p = queryOffset + i` is the query's position, by default aligned to the last key. */
export function causal(): AttentionMask {
  causalMask ??= new AttentionMask(causalRows);
  return causalMask;
}

/**
 * Key `j` is visible iff `p − left ≤ j ≤ p + right`, both inclusive; `Infinity` is unbounded.
 * @throws RangeError unless both are integers ≥ 0 or `Infinity`
 */
export function slidingWindow(left: number, right: number): AttentionMask {
  return new AttentionMask(windowRows(left, right));
}

/**
 * A window with gaps: key `j` is visible iff `|p − j|` is a multiple of `dilation` and at most `window · dilation`. What lies between
 * is computed and then hidden: of the pairs computed, one in `dilation` counts.
 *
 * @param options.window keys on either side, ≥ 0
 * @param options.dilation ≥ 1; 1 is a sliding window
 */
export function dilated(options: { window: number; dilation: number }): AttentionMask {
  checkOptions('dilated', options, new Set(['window', 'dilation']));
  const { window, dilation } = options;
  checkInteger('dilated', 'window', window);
  checkInteger('dilated', 'dilation', dilation, 1);
  if (dilation === 1) return slidingWindow(window, window);
  const reach = window * dilation;
  return new AttentionMask({
    varies: { position: true },
    content: 'costly',
    reach: [reach, reach],
    rows({ queryOffset, keys }, batch) {
      const offset = queryOffset(batch);
      return (i) => everyNth(offset + i, window, dilation, keys);
    },
  });
}

/** The keys p + δ·dilation, |δ| ≤ window. */
export function everyNth(p: number, window: number, dilation: number, keys: number): number[] {
  const found: number[] = [];
  const first = Math.max(-window, Math.ceil(-p / dilation));
  for (let step = first; step <= window; step++) {
    const j = p + step * dilation;
    if (j >= keys) break;
    found.push(j, j + 1);
  }
  return found;
}

/** Positions are cut into chunks of `size`: key `j` is visible iff `⌊j / size⌋ = ⌊p / size⌋`. For causal chunks: `.and(masks.causal())`. */
export function chunked(size: number): AttentionMask {
  checkInteger('chunked', 'size', size, 1);
  return new AttentionMask({
    varies: { position: true },
    rows({ queryOffset, keys }, batch) {
      const offset = queryOffset(batch);
      return blockwise(
        (i) => Math.floor((offset + i) / size),
        (chunk) => interval(chunk * size, (chunk + 1) * size, keys),
      );
    },
  });
}

/** Key `j` is visible iff `j < n` (a prefix that all see) or `j ≤ p`. `n`: a number, or one per batch. */
export function prefixLM(n: number | ArrayLike<number>): AttentionMask {
  const where = 'prefixLM';
  if (typeof n !== 'number' && (typeof n !== 'object' || n === null))
    throw wrongKind(where, 'n', 'a number or one per batch', n);
  const lengths = typeof n === 'number' ? [n] : Array.from(n);
  lengths.forEach((length) => {
    checkInteger(where, 'n', length);
  });
  const perBatch = typeof n !== 'number';
  return new AttentionMask({
    varies: { position: true, batch: perBatch },
    rows({ queryOffset, keys }, batch) {
      const prefix = lengths[perBatch ? batch : 0];
      const end = queryOffset(batch) + 1;
      return (i) => interval(0, Math.max(prefix, end + i), keys);
    },
    check(called, { batch }) {
      if (perBatch && lengths.length !== batch)
        throw wrongValue(called, 'n', `of prefixLM must be one length per batch (${batch})`);
    },
  });
}

/**
 * Sequences packed one behind the other: key `j` is visible iff it is of the same one as position `p`.
 * @param cuSeqlens [sequences + 1]: where each begins, from 0 on, and where the last one ends; they are the keys
 */
export function documents(cuSeqlens: ArrayLike<number>): AttentionMask {
  const where = 'documents';
  if (typeof cuSeqlens !== 'object' || cuSeqlens === null || typeof cuSeqlens.length !== 'number')
    throw wrongKind(where, 'cuSeqlens', 'an array of offsets', cuSeqlens);
  const starts = Array.from(cuSeqlens);
  if (starts.length === 0 || starts[0] !== 0) throw wrongValue(where, 'cuSeqlens', 'must begin with 0');
  starts.forEach((start, d) => {
    checkInteger(where, `cuSeqlens[${d}]`, start, starts[d - 1] ?? 0);
  });
  return new AttentionMask({
    varies: { position: true },
    rows({ queryOffset, keys }, batch) {
      const offset = queryOffset(batch);
      return blockwise(
        (i) => documentOf(starts, offset + i),
        (d) => (d < 0 ? none : interval(starts[d], starts[d + 1], keys)),
      );
    },
    check(called, { keys }) {
      const end = starts[starts.length - 1];
      if (end !== keys) throw wrongValue(called, 'cuSeqlens', `ends at ${end}, but there are ${keys} keys`);
    },
  });
}

/** The last sequence that begins at or before `p`, −1 outside of all. */
function documentOf(starts: readonly number[], p: number): number {
  if (p < 0 || p >= starts[starts.length - 1]) return -1;
  let [low, high] = [0, starts.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= p) low = middle;
    else high = middle;
  }
  return low;
}

/** Rows that are the same in each block of queries: one array for all of them. */
export function blockwise(blockOf: (query: number) => number, keysOf: (block: number) => Intervals) {
  let last: number | undefined;
  let row: Intervals = none;
  return (query: number) => {
    const block = blockOf(query);
    if (block !== last) row = keysOf(block);
    last = block;
    return row;
  };
}
