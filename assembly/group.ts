import { attentionOnly } from './only';
import { Attention, Block, Stored } from './params';
import { BYTES_DIM, quantize } from './micro/bytes';
import { pack, scale, unpack } from './micro/lanes';
import { pointer, real, word } from './simd/lanes';
import { Lane, Task } from './task';

// The state of flash attention in scratch. Two layouts of a group's queries and outputs. Many rows: the rows are in the lanes,
// Qᵀ [headDim][8] and Oᵀ [valueDim][8]. Few rows (up to 8 in the task): headDim is in the lanes, Q [8][headDim] and O [8][valueDim],
// rows rounded up to 4 and 16 floats.

const LOG2E: f64 = 1.4426950408889634;
const LN2: f64 = 0.6931471805599453;

/** Scratch: the task, factors [8], a tile's scores [keys + 8][8]; for an int8 cache query scales [8], units [4], weights' pairs; the groups. */
export const FACTORS: usize = Task.bytes, SCORES: usize = FACTORS + 32;
export const QUERY_SCALES: usize = SCORES + ((Block.keys + 8) << 5), UNITS: usize = QUERY_SCALES + 32, PAIRS: usize = UNITS + 16;
export const GROUPS: usize = PAIRS + (Block.keys << 3) + 16;
/** A group: its lanes, running max [8] and sum [8], Q, O. */
export const MAX: usize = Lane.bytes, SUM: usize = MAX + 32, QUERY: usize = SUM + 32;

// @ts-ignore: top-level decorator
@inline
export function outputAt(params: usize): usize {
  return QUERY + (<usize>((word(params, Attention.headDim) + 3) & ~3) << 5);
}

// @ts-ignore: top-level decorator
@inline
export function groupBytes(params: usize): usize {
  // Micro-kernels write up to 3 rows of Oᵀ past valueDim.
  return outputAt(params) + (<usize>((word(params, Attention.valueDim) + 18) & ~15) << 5);
}

/** Floats from row to row of O where rows are few. */
// @ts-ignore: top-level decorator
@inline
export function outputRow(params: usize): usize {
  return <usize>((word(params, Attention.valueDim) + 15) & ~15);
}

/** Behind the groups, where keys and values are not float32: a tile of them as float32; int16 queries [8][headDim]. */
// @ts-ignore: top-level decorator
@inline
export function wideAt(params: usize): usize {
  return GROUPS + <usize>(Block.queries / Block.lanes) * groupBytes(params);
}

// @ts-ignore: top-level decorator
@inline
export function queryBytesAt(params: usize): usize {
  return wideAt(params) + <usize>(Block.keys * (word(params, Attention.headDim) + word(params, Attention.valueDim))) * 4 + 64;
}

/** Whether keys and values are float32. Others come from a cache alone, and a cache needs the other module. */
// @ts-ignore: top-level decorator
@inline
export function isPlain(params: usize): bool {
  return attentionOnly() || word(params, Attention.stored) == Stored.float32;
}

/** Bytes of scratch that one task needs. */
export function flashScratchBytes(params: usize): usize {
  if (isPlain(params)) return wideAt(params);
  return queryBytesAt(params) + (<usize>((word(params, Attention.headDim) + 15) & ~15) << 4);
}

/** Whether the integer kernels serve a task of `rows` rows. */
// @ts-ignore: top-level decorator
@inline
export function inBytes(params: usize, rows: i32): bool {
  return !attentionOnly() && rows <= 8 && word(params, Attention.stored) == Stored.int8 && word(params, Attention.headDim) <= BYTES_DIM;
}

/** Gathers a group's queries, scaled, and starts its softmax: a sink is a key that was seen first, with value 0. */
export function open(params: usize, scratch: usize, group: usize, few: bool): void {
  const headDim = word(params, Attention.headDim), padded = (headDim + 3) & ~3;
  const query = group + QUERY, output = group + outputAt(params), rows = word(scratch, Task.rows);
  const sinks = word(scratch, Task.keyStart) == 0 ? pointer(params, Attention.sinks) : 0;
  for (let lane: usize = 0; lane < 32; lane += 4) {
    const sink = sinks != 0 ? <f32>(<f64>load<f32>(sinks + (<usize>load<i32>(group + lane, Lane.head) << 2)) * LOG2E) : -f32.MAX_VALUE;
    store<f32>(group + lane, sink, MAX);
    // One row's sum is spread over the lanes.
    store<f32>(group + lane, sinks != 0 && (lane == 0 || rows > 1) ? 1 : 0, SUM);
    if (few) memory.copy(query + lane * padded, load<usize>(group + lane, Lane.query), <usize>headDim << 2);
  }
  if (!few) pack(query, group + Lane.query, headDim);
  scale(query, padded << 1, real(params, Attention.scale), real(params, Attention.scaleLow));
  memory.fill(output, 0, groupBytes(params) - outputAt(params));
  if (inBytes(params, rows)) openBytes(params, scratch, query);
}

function openBytes(params: usize, scratch: usize, query: usize): void {
  const headDim = word(params, Attention.headDim), row = <usize>((headDim + 3) & ~3) << 2, to = scratch + queryBytesAt(params);
  const size = <usize>((headDim + 15) & ~15) << 1;
  const rows = word(scratch, Task.rows), lanes: usize = rows == 1 ? 1 : rows > 4 ? 8 : 4;
  for (let lane: usize = 0; lane < lanes; lane++) {
    store<f32>(scratch + (lane << 2), quantize(to + lane * size, query + lane * row, headDim), QUERY_SCALES);
  }
}

/** Whether all of a group's O is finite. */
export function isFiniteOutput(params: usize, group: usize, few: bool): bool {
  const output = group + outputAt(params), bytes = (few ? outputRow(params) : <usize>word(params, Attention.valueDim)) << 5;
  const zero = f32x4.splat(0);
  let poison = zero;
  for (let at = output, end = output + bytes; at < end; at += 16) {
    poison = v128.or(poison, f32x4.ne(f32x4.mul(v128.load(at), zero), zero));
  }
  return !v128.any_true(poison);
}

/** Writes the rows O / sum and lse of a group's first `lanes`. */
export function close(params: usize, scratch: usize, group: usize, lanes: i32, few: bool): void {
  const dim = word(params, Attention.valueDim), output = group + outputAt(params), factors = scratch + FACTORS;
  const hasLse = pointer(params, Attention.lse) != 0, row = outputRow(params), end = <usize>lanes << 2;
  if (word(scratch, Task.rows) == 1) {
    const a = load<f32>(group, SUM) + load<f32>(group, SUM + 4), b = load<f32>(group, SUM + 8) + load<f32>(group, SUM + 12);
    store<f32>(group, a + b, SUM);
  }
  for (let lane: usize = 0; lane < end; lane += 4) {
    const sum = load<f32>(group + lane, SUM), factor: f32 = sum == 0 ? 0 : 1 / sum;
    if (hasLse) store<f32>(load<usize>(group + lane, Lane.lse), <f32>(<f64>load<f32>(group + lane, MAX) * LN2 + NativeMath.log(sum)));
    store<f32>(factors + lane, factor);
  }
  if (few) {
    for (let lane: usize = 0; lane < end; lane += 4) {
      const from = output + lane * row, factor = load<f32>(factors + lane);
      if (factor == 0) memory.fill(from, 0, <usize>dim << 2);
      else scale(from, <i32>row >> 2, factor, 0);
      memory.copy(load<usize>(group + lane, Lane.output), from, <usize>dim << 2);
    }
  } else unpack(group + Lane.output, 0, output, dim, factors);
}
