import { FeatureMap, Recurrence } from './params';
import { raise, weigh } from './favor';
import { rowBytes } from './features';
import { Part, TILE } from './recurrenceState';
import { pointer, word } from './simd/lanes';

/** The divisors of a tile: z ← decay·z + φ(k), then zᵀφ(q). Of FAVOR+, here exponents become features. */
export function advanceSums(params: usize, scratch: usize, live: i32, reading: i32): void {
  const features = word(params, Recurrence.features), rows = rowBytes(params);
  const favor = word(params, Recurrence.map) == FeatureMap.favor, dims = word(params, Recurrence.decayDims);
  const group = word(params, Recurrence.heads) / word(params, Recurrence.kvHeads);
  const sums = pointer(scratch, Part.sums), logs = pointer(scratch, Part.logs);
  for (let t = 0; t < max(live, reading); t++) {
    const key = pointer(scratch, Part.keys) + <usize>t * rows, decay = pointer(scratch, Part.decays) + <usize>t * rows;
    if (t < live) {
      const raised = favor && raise(key, logs, sums, decay, features);
      store<i32>(pointer(scratch, Part.raised) + (<usize>t << 2), <i32>raised);
      if (raised || dims > 1) scaleBy(sums, decay, rows);
      else if (dims == 1) scaleAll(sums, decay, rows);
      add(sums, key, rows);
    }
    for (let g = 0; t < reading && g < group; g++) {
      const i = <usize>(g * TILE + t), query = pointer(scratch, Part.queries) + i * rows;
      if (favor) weigh(query, logs, features);
      store<f32>(pointer(scratch, Part.divisors) + (i << 2), product(sums, query, rows));
    }
  }
}

// @ts-ignore: top-level decorator
@inline
function scaleBy(sums: usize, decay: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(sums + i, f32x4.mul(v128.load(sums + i), v128.load(decay + i)));
}

// @ts-ignore: top-level decorator
@inline
function scaleAll(sums: usize, decay: usize, bytes: usize): void {
  const g = v128.load32_splat(decay);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(sums + i, f32x4.mul(v128.load(sums + i), g));
}

// @ts-ignore: top-level decorator
@inline
function add(sums: usize, key: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(sums + i, f32x4.add(v128.load(sums + i), v128.load(key + i)));
}

// @ts-ignore: top-level decorator
@inline
function product(sums: usize, query: usize, bytes: usize): f32 {
  let s = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) s = f32x4.add(s, f32x4.mul(v128.load(sums + i), v128.load(query + i)));
  return (f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 2)) + (f32x4.extract_lane(s, 1) + f32x4.extract_lane(s, 3));
}
