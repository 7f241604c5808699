import { Block, RunKind } from '../../../assembly/params.ts';
import type { Intervals } from '../intervals.ts';

/** A run of keys as the kernels read it, with data of its own. */
export type PlannedRun = { start: number; end: number; kind: RunKind; data?: Uint8Array };

/** A stretch of keys, and how many of the block's rows see a key of it at most. */
type Stretch = { start: number; end: number; full: boolean; seen: number };

/** Measured, in the time of a key: what a run costs beside its keys, and a group of rows beside its runs; a key that is masked. */
export const RUN_COST = 2;
export const GROUP_COST = 13;
export const MASK_COST = 1.04;

/** Keys that all rows see make full runs, keys that some see partial ones. */
export function blockRuns(rows: readonly Intervals[]): PlannedRun[] {
  if (rows.every((row) => row === rows[0])) return fullRuns(rows[0]);
  return (nested(rows) ?? stretches(rows)).map((stretch) => {
    const { start, end } = stretch;
    return stretch.full ? { start, end, kind: RunKind.full } : partialRun(rows, start, end);
  });
}

function fullRuns(row: Intervals): PlannedRun[] {
  const runs: PlannedRun[] = [];
  for (let x = 0; x < row.length; x += 2) runs.push({ start: row[x], end: row[x + 1], kind: RunKind.full });
  return runs;
}

/** The stretches of rows of one interval each that have a key in common; undefined where they are not so. */
function nested(rows: readonly Intervals[]): Stretch[] | undefined {
  let [first, start, end, last] = [Infinity, 0, Infinity, 0];
  for (const row of rows) {
    if (row.length !== 2) return undefined;
    first = Math.min(first, row[0]);
    start = Math.max(start, row[0]);
    end = Math.min(end, row[1]);
    last = Math.max(last, row[1]);
  }
  if (start >= end) return undefined;
  const count = rows.length;
  return joined(
    [
      { start: first, end: start, full: false, seen: count - 1 },
      { start, end, full: true, seen: count },
      { start: end, end: last, full: false, seen: count - 1 },
    ].filter((stretch) => stretch.start < stretch.end),
    count,
  );
}

/** The same of any rows: their interval ends in order, and how many rows see what lies between. */
function stretches(rows: readonly Intervals[]): Stretch[] {
  const [starts, ends] = [0, 1].map((side) => {
    const edges = new Int32Array(rows.reduce((count, row) => count + row.length / 2, 0));
    let at = 0;
    for (const row of rows) for (let x = side; x < row.length; x += 2) edges[at++] = row[x];
    return edges.sort();
  });
  const found: Stretch[] = [];
  let seen = 0;
  for (let s = 0, e = 0; e < ends.length; ) {
    const start = s < starts.length ? Math.min(starts[s], ends[e]) : ends[e];
    while (starts[s] === start) {
      seen++;
      s++;
    }
    while (ends[e] === start) {
      seen--;
      e++;
    }
    if (seen === 0) continue;
    const end = Math.min(starts[s] ?? Infinity, ends[e]);
    const full = seen === rows.length;
    const last = found.at(-1);
    if (full && last?.full && last.end === start) last.end = end;
    else found.push({ start, end, full, seen });
  }
  return joined(found, rows.length);
}

/** Makes one partial stretch of neighbours where that costs no more. */
function joined(found: readonly Stretch[], rows: number): Stretch[] {
  // A row alone still costs its group of lanes.
  const cost = ({ start, end, full, seen }: Stretch) =>
    (end - start) * (full ? 1 : MASK_COST) * Math.min(rows, Block.lanes * seen);
  const result: Stretch[] = [];
  for (const stretch of found) {
    const last = result.at(-1);
    if (last) {
      const seen = Math.max(last.seen, stretch.seen);
      const both = { start: last.start, end: stretch.end, full: false, seen };
      if (cost(both) <= cost(last) + cost(stretch) + RUN_COST * rows) {
        result[result.length - 1] = both;
        continue;
      }
    }
    result.push({ ...stretch });
  }
  return result;
}

/** The visible pairs of a partial run: an interval a row where that is enough, and a bit a pair where it is not. */
function partialRun(rows: readonly Intervals[], start: number, end: number): PlannedRun {
  const bounds = new Int32Array(2 * Block.queries);
  let several = false;
  rows.forEach((row, i) => {
    const x = firstAfter(row, start);
    let last = x;
    while (last < row.length && row[last] < end) last += 2;
    if (last === x) return;
    if (last > x + 2) several = true;
    bounds[i] = Math.max(row[x], start) - start;
    bounds[Block.queries + i] = Math.min(row[last - 1], end) - start;
  });
  const size = bounds.byteLength;
  const data = new Uint8Array(several ? size + (end - start) * 8 : size);
  data.set(new Uint8Array(bounds.buffer));
  if (several) for (let i = 0; i < rows.length; i++) setBits(data.subarray(size), rows[i], i, start, end);
  return { start, end, kind: several ? RunKind.bits : RunKind.interval, data };
}

/** 8 bytes a key of the run, a bit a query. */
function setBits(bits: Uint8Array, row: Intervals, i: number, start: number, end: number): void {
  for (let x = firstAfter(row, start); x < row.length && row[x] < end; x += 2) {
    const last = Math.min(row[x + 1], end);
    for (let j = Math.max(row[x], start); j < last; j++) bits[(j - start) * 8 + (i >> 3)] |= 1 << (i & 7);
  }
}

/** Index of the first interval that ends after `key`. */
function firstAfter(row: Intervals, key: number): number {
  let [low, high] = [0, row.length / 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[2 * middle + 1] > key) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}
