import { Block, Run, RunKind } from '../../assembly/params.ts';
import type { Intervals } from './intervals.ts';
import type { AttentionMask, MaskContext } from './mask.ts';

/** A stretch of keys shorter than this is not worth a run of its own beside a partial one. */
const SHORT = 16;

/** Which keys each block of queries looks at, as the kernels read it (assembly/params.ts). `data` fields are offsets into `data`. */
export type Plan = {
  /** Where each block's runs begin; one entry more than blocks. */
  starts: Int32Array;
  /** [runs][Run.words] */
  runs: Int32Array;
  data: Uint8Array;
  /** Plan index of a block = batch · batchStride + head · headStride + block. */
  batchStride: number;
  headStride: number;
};

type Segment = { start: number; end: number; full: boolean };

/** Plans a mask: keys that all rows of a block see make full runs, keys that some see partial ones, the rest is skipped. */
export function planMask(mask: AttentionMask, context: MaskContext): Plan {
  const blocks = Math.ceil(context.queries / Block.queries);
  const batches = mask.varies.batch ? context.batch : 1;
  const heads = mask.varies.head ? context.heads : 1;
  const starts = new Int32Array(batches * heads * blocks + 1);
  const runs: number[] = [];
  const parts: Uint8Array[] = [];
  let bytes = 0;
  let at = 0;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let block = 0; block < blocks; block++) {
        const rows = blockRows(mask, context, b, h, block);
        for (const segment of segments(rows)) {
          const { kind, data } = segment.full ? { kind: RunKind.full, data: undefined } : partial(rows, segment);
          runs.push(segment.start, segment.end, kind, bytes);
          if (!data) continue;
          parts.push(data);
          bytes += data.length;
        }
        starts[++at] = runs.length / Run.words;
      }
    }
  }
  const data = new Uint8Array(bytes);
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return {
    starts,
    runs: Int32Array.from(runs),
    data,
    batchStride: batches > 1 ? heads * blocks : 0,
    headStride: heads > 1 ? blocks : 0,
  };
}

function blockRows(mask: AttentionMask, context: MaskContext, b: number, h: number, block: number): Intervals[] {
  const rows: Intervals[] = [];
  const end = Math.min((block + 1) * Block.queries, context.queries);
  for (let i = block * Block.queries; i < end; i++) rows.push(mask.row(context, b, h, i));
  return rows;
}

/** Stretches of keys seen by all rows (full) or some (partial). */
function segments(rows: readonly Intervals[]): Segment[] {
  const changes = new Map<number, number>();
  const change = (key: number, by: number) => changes.set(key, (changes.get(key) ?? 0) + by);
  for (const row of rows) {
    for (let x = 0; x < row.length; x += 2) {
      change(row[x], 1);
      change(row[x + 1], -1);
    }
  }
  const edges = [...changes.keys()].sort((a, b) => a - b);
  const found: Segment[] = [];
  let seen = 0;
  for (let e = 0; e < edges.length - 1; e++) {
    seen += changes.get(edges[e])!;
    if (seen === 0) continue;
    const full = seen === rows.length;
    const last = found.at(-1);
    if (last?.end === edges[e] && last.full === full) last.end = edges[e + 1];
    else found.push({ start: edges[e], end: edges[e + 1], full });
  }
  return joinShort(found);
}

/** Takes short full stretches and short gaps into the partial run beside them. */
function joinShort(found: readonly Segment[]): Segment[] {
  const joined: Segment[] = [];
  for (const segment of found) {
    const last = joined.at(-1);
    const short = (part: Segment) => !part.full || part.end - part.start < SHORT;
    if (last && segment.start - last.end < SHORT && short(last) && short(segment)) {
      joined[joined.length - 1] = { start: last.start, end: segment.end, full: false };
    } else {
      joined.push(segment);
    }
  }
  return joined;
}

/** The visible pairs of a partial run: an interval a row where that is enough, a bit a pair otherwise. */
function partial(rows: readonly Intervals[], { start, end }: Segment): { kind: RunKind; data: Uint8Array } {
  const bounds = new Int32Array(2 * Block.queries);
  for (let i = 0; i < Block.queries; i++) {
    const row = rows[Math.min(i, rows.length - 1)];
    let count = 0;
    for (let x = 0; x < row.length; x += 2) {
      if (row[x] >= end || row[x + 1] <= start) continue;
      if (++count > 1) return { kind: RunKind.bits, data: bits(rows, start, end) };
      bounds[i] = row[x];
      bounds[Block.queries + i] = row[x + 1];
    }
  }
  return { kind: RunKind.interval, data: new Uint8Array(bounds.buffer) };
}

/** 8 bytes a key of the run, a bit a query. */
function bits(rows: readonly Intervals[], start: number, end: number): Uint8Array {
  const bytes = new Uint8Array((end - start) * 8);
  rows.forEach((row, i) => {
    for (let x = 0; x < row.length; x += 2) {
      const last = Math.min(row[x + 1], end);
      for (let j = Math.max(row[x], start); j < last; j++) bytes[(j - start) * 8 + (i >> 3)] |= 1 << (i & 7);
    }
  });
  return bytes;
}
