import { Attention, Block, Run, RunKind } from './params';
import { accumulate, accumulateTall, accumulateVisible } from './micro/accumulate';
import { adjust } from './micro/adjust';
import { dots, dotsTall } from './micro/dots';
import { accumulateFew, accumulateFewVisible, accumulateOne, dotsFew, dotsOne } from './micro/few';
import { pack, scale, unpack } from './micro/lanes';
import { exponentiate, pad, raise } from './micro/online';
import { pointer, real, word } from './simd/lanes';
import { Lane, locate, Task, visibleKeys } from './task';

// Flash attention forward (Dao et al. 2022, Alg. 1; Dao 2023, Alg. 1): online softmax over tiles of keys, scores in log2 units.
// Two layouts of a group's state. Many rows: the queries are in the lanes, Qᵀ [headDim][8] and Oᵀ [valueDim][8].
// Few rows (up to 8 in the task): headDim is in the lanes, Q [8][headDim] and O [8][valueDim], rows rounded up to 4 floats.

const LOG2E: f64 = 1.4426950408889634;
const LN2: f64 = 0.6931471805599453;

/** Scratch: the task, factors [8], scores [keys + 8][8], then the groups. */
const FACTORS: usize = Task.bytes, SCORES: usize = FACTORS + 32, GROUPS: usize = SCORES + ((Block.keys + 8) << 5);
/** A group: its lanes, running max [8] and sum [8], Q, O. */
const MAX: usize = Lane.bytes, SUM: usize = MAX + 32, QUERY: usize = SUM + 32;

// @ts-ignore: top-level decorator
@inline
function outputAt(params: usize): usize {
  return QUERY + (<usize>((word(params, Attention.headDim) + 3) & ~3) << 5);
}

// @ts-ignore: top-level decorator
@inline
function groupBytes(params: usize): usize {
  return outputAt(params) + (<usize>((word(params, Attention.valueDim) + 11) & ~3) << 5);
}

/** Bytes of scratch that one task needs. */
export function flashScratchBytes(params: usize): usize {
  return GROUPS + <usize>(Block.queries / Block.lanes) * groupBytes(params);
}

/** One task: up to `Block.queries` rows that share a KV head. */
export function flash(params: usize, index: i32, scratch: usize): void {
  // A masked key's weight is 0, but 0 · NaN is not: only if the result is not finite is the task done again, minding every weight.
  if (!attend(params, index, scratch, false)) attend(params, index, scratch, true);
}

function attend(params: usize, index: i32, scratch: usize, minding: bool): bool {
  const size = groupBytes(params);
  locate(params, index, scratch, scratch + GROUPS, size);
  const rows = word(scratch, Task.rows), few = rows <= 8;
  const groups = scratch + GROUPS, groupsEnd = groups + <usize>((rows + 7) >> 3) * size;
  for (let group = groups; group < groupsEnd; group += size) open(params, group, few);

  const runsEnd = pointer(scratch, Task.runsEnd), tile = word(params, Attention.tileKeys);
  let masked = pointer(params, Attention.bias) != 0;
  for (let run = pointer(scratch, Task.run); run < runsEnd; run += Run.words << 2) {
    if (word(run, Run.kind) != RunKind.full) masked = true;
    const end = word(run, Run.end);
    for (let j = word(run, Run.start); j < end; j += tile) {
      for (let group = groups; group < groupsEnd; group += size) {
        const visible = visibleKeys(run, group);
        const first = max(j, <i32>visible), count = min(min(j + tile, end), <i32>(visible >> 32)) - first;
        if (count <= 0) continue;
        if (few) attendFew(params, scratch, group, run, first, count, rows, minding);
        else attendMany(params, scratch, group, run, first, count, minding);
      }
    }
  }
  let finite = true;
  for (let group = groups; group < groupsEnd; group += size) finite = close(params, scratch, group, few ? rows : 8, few) && finite;
  return !masked || finite || minding;
}

/** Gathers a group's queries, scaled, and starts its softmax: a sink is a key that was seen first, with value 0. */
function open(params: usize, group: usize, few: bool): void {
  const headDim = word(params, Attention.headDim), sinks = pointer(params, Attention.sinks), padded = (headDim + 3) & ~3;
  const query = group + QUERY, output = group + outputAt(params);
  for (let lane: usize = 0; lane < 32; lane += 4) {
    const sink = sinks != 0 ? <f32>(<f64>load<f32>(sinks + (<usize>load<i32>(group + lane, Lane.head) << 2)) * LOG2E) : -f32.MAX_VALUE;
    store<f32>(group + lane, sink, MAX);
    store<f32>(group + lane, sinks != 0 ? 1 : 0, SUM);
    if (few) memory.copy(query + lane * padded, load<usize>(group + lane, Lane.query), <usize>headDim << 2);
  }
  if (!few) pack(query, group + Lane.query, headDim);
  scale(query, padded << 1, real(params, Attention.scale), real(params, Attention.scaleLow));
  memory.fill(output, 0, groupBytes(params) - outputAt(params));
}

function attendMany(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, minding: bool): void {
  const headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim);
  const keyRow = <usize>word(params, Attention.keyRow) << 2, valueRow = <usize>word(params, Attention.valueRow) << 2;
  const key = pointer(scratch, Task.key) + <usize>first * keyRow, value = pointer(scratch, Task.value) + <usize>first * valueRow;
  const scores = scratch + SCORES, output = group + outputAt(params), tall = word(params, Attention.tall) != 0;
  if (tall) dotsTall(scores, key, group + QUERY, count, headDim, keyRow);
  else dots(scores, key, group + QUERY, count, headDim, keyRow);
  softmaxTile(params, scratch, group, run, first, count, 32, false);
  if (minding) accumulateVisible(output, value, scores, count, valueDim, valueRow);
  else if (tall) accumulateTall(output, value, scores, count, valueDim, valueRow);
  else accumulate(output, value, scores, count, valueDim, valueRow);
}

function attendFew(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, rows: i32, minding: bool): void {
  const headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim);
  const keyRow = <usize>word(params, Attention.keyRow) << 2, valueRow = <usize>word(params, Attention.valueRow) << 2;
  const key = pointer(scratch, Task.key) + <usize>first * keyRow, value = pointer(scratch, Task.value) + <usize>first * valueRow;
  const scores = scratch + SCORES, query = group + QUERY, output = group + outputAt(params);
  const bytes: usize = rows > 4 ? 32 : 16, querySize = <usize>((headDim + 3) & ~3), outputSize = <usize>((valueDim + 3) & ~3);
  const left = word(run, Run.end) - first - count;
  for (let at: usize = 0; at < bytes; at += 16) {
    if (rows == 1) dotsOne(scores, key, query, count, headDim, keyRow);
    else streamDots(scores + at, key, query + at * querySize, count, headDim, keyRow, value, <usize>count * valueRow);
  }
  softmaxTile(params, scratch, group, run, first, count, bytes, true);
  for (let at: usize = 0; at < bytes; at += 16) {
    const to = output + at * outputSize;
    if (minding) accumulateFewVisible(to, value, scores + at, count, valueDim, valueRow);
    else if (rows == 1) accumulateOne(to, value, scores, count, valueDim, valueRow);
    else streamAccumulate(to, value, scores + at, count, valueDim, valueRow, key + <usize>count * keyRow, <usize>left * keyRow);
  }
}

/** Rows that the kernels of two rows touch ahead: 6 KB (4 to 8 KB are equal, 16 KB lose a third, measured); even. */
// @ts-ignore: top-level decorator
@inline
function rowsAhead(rowBytes: usize, count: i32): i32 {
  return min((6144 / <i32>rowBytes + 2) & ~1, count & ~1);
}

/** `dotsFew` touching its own rows ahead and, from its last rows, the start of what comes `next`, if that has enough bytes. */
function streamDots(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize, next: usize, nextBytes: usize): void {
  const ahead = rowsAhead(rowBytes, count), far = (count - ahead) & ~1, rest = count - far, last = row + <usize>far * rowBytes;
  if (far > 0) dotsFew(out, row, query, far, dim, rowBytes, row + <usize>ahead * rowBytes);
  dotsFew(out + (<usize>far << 5), last, query, rest, dim, rowBytes, <usize>rest * rowBytes <= nextBytes ? next : last);
}

/** `accumulateFew` likewise. */
function streamAccumulate(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize, next: usize, nextBytes: usize): void {
  const ahead = rowsAhead(rowBytes, count), far = (count - ahead) & ~1, rest = count - far, last = value + <usize>far * rowBytes;
  if (far > 0) accumulateFew(out, value, weights, far, dim, rowBytes, value + <usize>ahead * rowBytes);
  accumulateFew(out, last, weights + (<usize>far << 5), rest, dim, rowBytes, <usize>rest * rowBytes <= nextBytes ? next : last);
}

/** A tile's scores become its weights; the state so far is rescaled where the max has risen. `bytes`: 16 for 4 lanes, 32 for 8. */
function softmaxTile(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, bytes: usize, few: bool): void {
  const scores = scratch + SCORES, factors = scratch + FACTORS, padded = (count + 3) & ~3;
  if (word(run, Run.kind) != RunKind.full || word(params, Attention.adjusted) != 0) adjust(scores, params, group, run, first, count);
  pad(scores, count);
  let risen = false;
  for (let at: usize = 0; at < bytes; at += 16) {
    if (raise(scores + at, padded, group + MAX + at, group + SUM + at, factors + at)) risen = true;
    else v128.store(factors + at, f32x4.splat(1));
    exponentiate(scores + at, padded, group + MAX + at, group + SUM + at);
  }
  if (!risen) return;
  const dim = word(params, Attention.valueDim), output = group + outputAt(params);
  if (!few) return rescale(output, factors, dim);
  for (let lane: usize = 0; lane < bytes; lane += 4) {
    const row = (dim + 3) >> 2;
    scale(output + lane * (<usize>row << 2), row, load<f32>(factors + lane), 0);
  }
}

/** Oᵀ[dim][8] ← Oᵀ · factors[8] */
function rescale(output: usize, factors: usize, dim: i32): void {
  const a = v128.load(factors), b = v128.load(factors, 16);
  for (const end = output + (<usize>dim << 5); output < end; output += 32) {
    v128.store(output, f32x4.mul(v128.load(output), a));
    v128.store(output, f32x4.mul(v128.load(output, 16), b), 16);
  }
}

/** Writes the rows O / sum and lse of a group's first `lanes`; returns whether all of O is finite. */
function close(params: usize, scratch: usize, group: usize, lanes: i32, few: bool): bool {
  const dim = word(params, Attention.valueDim), output = group + outputAt(params), factors = scratch + FACTORS;
  const hasLse = pointer(params, Attention.lse) != 0, row = (dim + 3) & ~3, end = <usize>lanes << 2;
  for (let lane: usize = 0; lane < end; lane += 4) {
    const sum = load<f32>(group + lane, SUM), factor: f32 = sum == 0 ? 0 : 1 / sum;
    if (hasLse) store<f32>(load<usize>(group + lane, Lane.lse), <f32>(<f64>load<f32>(group + lane, MAX) * LN2 + NativeMath.log(sum)));
    store<f32>(factors + lane, factor);
  }
  let poison = f32x4.splat(0);
  const zero = poison;
  for (let at = output, last = output + (<usize>(few ? row : dim) << 5); at < last; at += 16) {
    poison = v128.or(poison, f32x4.ne(f32x4.mul(v128.load(at), zero), zero));
  }
  if (few) {
    for (let lane: usize = 0; lane < end; lane += 4) {
      const from = output + lane * row, factor = load<f32>(factors + lane);
      if (factor == 0) memory.fill(from, 0, <usize>dim << 2);
      else scale(from, row >> 2, factor, 0);
      memory.copy(load<usize>(group + lane, Lane.output), from, <usize>dim << 2);
    }
  } else unpack(group + Lane.output, 0, output, dim, factors);
  return !v128.any_true(poison);
}
