import { checkInteger, checkOptions, isList, wrongKind, wrongValue } from '../../check.ts';
import { type Intervals, interval, none, union, unionOf } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';
import { everyNth } from './positions.ts';

/** Window and global tokens of `masks.longformer`. */
export type LongformerOptions = {
  /** Keys on either side of a query (HuggingFace's `attention_window` is twice that). */
  window: number;
  /** Steps between the keys of the window; default 1. */
  dilation?: number;
  /** Positions that see all keys and that all queries see: for all batches alike, or an array of them per batch. Default none. */
  globalTokens?: ArrayLike<number> | readonly ArrayLike<number>[];
};

const known = new Set(['window', 'dilation', 'globalTokens']);

/**
 * Longformer's pattern: key `j` is visible iff `|p − j|` is a multiple of `dilation` and at most `window · dilation`, or if position `p` or
 * key `j` is global. A key that is both in the window and global counts once. Source: Beltagy, Peters & Cohan 2020, section 3.1.
 *
 * @example
 * const mask = masks.longformer({ window: 256, globalTokens: [0] });
 * const output = scaledDotProductAttention(query, key, value, { mask });
 * mask.plan({ heads: 4, queries: 20, keys: 20 }).share;
 */
export function longformer(options: LongformerOptions): AttentionMask {
  return patternOf('longformer', options, true);
}

/** The same where the rows of global tokens are left empty: the layer computes them from projections of their own. */
export function longformerWithoutGlobalRows(options: LongformerOptions): AttentionMask {
  return patternOf('longformer', options, false);
}

function patternOf(where: string, options: LongformerOptions, globalRows: boolean): AttentionMask {
  checkOptions(where, options, known);
  const { window, dilation = 1, globalTokens = [] } = options;
  checkInteger(where, 'window', window);
  checkInteger(where, 'dilation', dilation, 1);
  const global = globalTokensOf(where, globalTokens);
  const perBatch = global.length !== 1;
  return new AttentionMask({
    varies: { position: true, batch: perBatch },
    content: 'costly',
    reach: [window * dilation, window * dilation],
    globals: (batch) => global[perBatch ? batch : 0],
    rows({ queryOffset, keys }, batch) {
      const tokens = global[perBatch ? batch : 0];
      const seenByAll = unionOf(
        tokens.map((token) => [token, token + 1]),
        keys,
      );
      const isGlobal = new Set(tokens);
      const globalRow = globalRows ? interval(0, keys, keys) : none;
      const offset = queryOffset(batch);
      const local = (p: number): Intervals =>
        dilation === 1 ? interval(p - window, p + window + 1, keys) : everyNth(p, window, dilation, keys);
      return (i) => (isGlobal.has(offset + i) ? globalRow : union(local(offset + i), seenByAll));
    },
    check: (called, { batch, keys }) => {
      if (perBatch && global.length !== batch)
        throw wrongValue(called, 'globalTokens', `must be one array for all batches or one per batch (${batch})`);
      for (const token of global.flat())
        if (token >= keys) throw wrongValue(called, 'globalTokens', `has ${token}, but there are ${keys} keys`);
    },
  });
}

/** One array for all batches, or one per batch. */
export function globalTokensOf(where: string, given: unknown): number[][] {
  if (!isList(given)) throw wrongKind(where, 'globalTokens', 'an array of positions', given);
  const nested = given.length > 0 && isList(given[0]);
  const lists = nested
    ? Array.from(given as ArrayLike<ArrayLike<number>>, (list) => Array.from(list))
    : [Array.from(given)];
  for (const token of lists.flat()) checkInteger(where, 'globalTokens', token);
  return (lists as number[][]).map((list) => list.sort((a, b) => a - b));
}
