import { FeatureMap, Recurrence } from './params';
import { featureScratchBytes, rowBytes } from './features';
import { copyRow, fillTail } from './micro/rows';
import { pointer, word } from './simd/lanes';

/** Tokens in a tile: their keys and queries share the L1 cache with 16 columns of the state. */
export const TILE = 16;

/** Where a task has what in its scratch: a pointer each. Rows of features and of values are padded to 4 and 16 elements. */
export const enum Part {
  state = 0, // [columns / 16][features][16]
  sums, logs, // [features]: Σφ(k); of FAVOR+, the log2 of what a row lacks
  keys, gatedKeys, decays, // [TILE][features]; one decay a token lies first in its row
  queries, outputs, divisors, // [group][TILE][features], [group][TILE][columns], [group][TILE]
  values, betas, raised, // [TILE][columns], [TILE], [TILE]
  zeros, spare, features, // a row of zeros; an output that nobody reads; scratch of the feature map
  first, columns, // not pointers: the task's value columns
  bytes = 128,
}

/** Bytes of a row of values, padded. */
// @ts-ignore: top-level decorator
@inline
export function valueBytes(scratch: usize): usize {
  return <usize>((word(scratch, Part.columns) + 15) & ~15) << 2;
}

// The feature maps write up to 3 floats past a row. Columns of padding are never read, but zeros: what lay there may be subnormal and slow.
function place(scratch: usize, part: i32, offset: usize, bytes: usize): usize {
  if (scratch != 0) store<usize>(scratch + (<usize>part << 2), scratch + offset);
  return offset + ((bytes + 16 + 63) & ~63);
}

/** Bytes of scratch; with a `scratch` it is divided into its parts. */
export function layOut(params: usize, scratch: usize): usize {
  const rows = rowBytes(params), columns = <usize>word(params, Recurrence.splitColumns) << 2, group = word(params, Recurrence.heads) / word(params, Recurrence.kvHeads);
  const tile: usize = TILE, tiles = tile * <usize>group, gated = word(params, Recurrence.decayDims) > 0;
  const favor = word(params, Recurrence.map) == FeatureMap.favor, isDelta = pointer(params, Recurrence.beta) != 0;
  let end: usize = Part.bytes;
  end = place(scratch, Part.state, end, <usize>word(params, Recurrence.features) * columns);
  end = place(scratch, Part.sums, end, rows);
  end = place(scratch, Part.logs, end, rows);
  end = place(scratch, Part.keys, end, tile * rows);
  end = place(scratch, Part.decays, end, gated || favor ? tile * rows : 0);
  end = place(scratch, Part.gatedKeys, end, gated && isDelta ? tile * rows : 0);
  end = place(scratch, Part.queries, end, tiles * rows);
  end = place(scratch, Part.outputs, end, tiles * columns);
  end = place(scratch, Part.divisors, end, tiles << 2);
  end = place(scratch, Part.values, end, tile * columns);
  end = place(scratch, Part.betas, end, TILE << 2);
  end = place(scratch, Part.raised, end, TILE << 2);
  end = place(scratch, Part.zeros, end, max(rows, 64));
  end = place(scratch, Part.spare, end, 64);
  return place(scratch, Part.features, end, featureScratchBytes(params));
}

export function recurrenceScratchBytes(params: usize): usize {
  return layOut(params, 0);
}

// @ts-ignore: top-level decorator
@inline
function stateRow(params: usize, state: usize, head: i32, feature: i32): usize {
  const row = <usize>(head * word(params, Recurrence.features) + feature);
  return state + (row * <usize>word(params, Recurrence.columns) << 2);
}

/** The state before the first token: what is given, or zeros. A row has valueDim columns, then its sum, then its logarithm. */
export function loadState(params: usize, head: i32, scratch: usize): void {
  const features = word(params, Recurrence.features), dim = word(scratch, Part.columns), rows = rowBytes(params);
  const sums = pointer(scratch, Part.sums), logs = pointer(scratch, Part.logs), given = pointer(params, Recurrence.state);
  memory.fill(pointer(scratch, Part.zeros), 0, max(rows, 64));
  memory.fill(sums, 0, rows);
  memory.fill(logs, 0, rows);
  if (given == 0) memory.fill(pointer(scratch, Part.state), 0, <usize>features * valueBytes(scratch));
  for (let f = 0; given != 0 && f < features; f++) {
    const row = stateRow(params, given, head, f), from = row + (<usize>word(scratch, Part.first) << 2);
    let block = pointer(scratch, Part.state) + (<usize>f << 6);
    for (let d = 0; d < dim; d += 16, block += <usize>features << 6) {
      copyRow(block, from + (<usize>d << 2), min(dim - d, 16));
      fillTail(block, min(dim - d, 16), 16, 0);
    }
    const rest = row + (<usize>word(params, Recurrence.valueDim) << 2), at = <usize>f << 2;
    if (word(params, Recurrence.normalize)) store<f32>(sums + at, load<f32>(rest));
    if (word(params, Recurrence.map) == FeatureMap.favor) store<f32>(logs + at, load<f32>(rest, 4));
  }
}

/** What all parts of a head have alike is written by its first one. */
export function saveState(params: usize, head: i32, scratch: usize): void {
  const features = word(params, Recurrence.features), dim = word(scratch, Part.columns), first = word(scratch, Part.first);
  const sums = pointer(scratch, Part.sums), logs = pointer(scratch, Part.logs), given = pointer(params, Recurrence.newState);
  for (let f = 0; given != 0 && f < features; f++) {
    const row = stateRow(params, given, head, f), to = row + (<usize>first << 2);
    let block = pointer(scratch, Part.state) + (<usize>f << 6);
    for (let d = 0; d < dim; d += 16, block += <usize>features << 6) copyRow(to + (<usize>d << 2), block, min(dim - d, 16));
    if (first > 0) continue;
    const rest = row + (<usize>word(params, Recurrence.valueDim) << 2), at = <usize>f << 2;
    if (word(params, Recurrence.normalize)) store<f32>(rest, load<f32>(sums + at));
    if (word(params, Recurrence.map) == FeatureMap.favor) store<f32>(rest, load<f32>(logs + at), 4);
  }
}
