import { FeatureMap, Recurrence } from './params';
import { copyRow, fillTail } from './micro/rows';
import { dots, dotsTall } from './micro/dots';
import { pack, scale, unpack } from './micro/lanes';
import { exp } from './simd/exp';
import { pointer, real, word } from './simd/lanes';

// Feature maps φ: rows of a tile [tokens][features], padded to a multiple of 4 with zeros; of FAVOR+, its exponents in log2 units,
// padded with the least number.

// @ts-ignore: top-level decorator
@inline
export function rowBytes(params: usize): usize {
  return <usize>((word(params, Recurrence.features) + 3) & ~3) << 2;
}

const HALF_LN2: f32 = 0.34657359027997264;

/** Scratch of FAVOR+: factors [8], pointers to 8 inputs and 8 rows, inputs [headDim][8], exponents [features + 8][8]. */
const INPUTS: usize = 32, ROWS: usize = 64, COLUMNS: usize = 96;

export function featureScratchBytes(params: usize): usize {
  if (word(params, Recurrence.map) != FeatureMap.favor) return 0;
  return COLUMNS + (<usize>(word(params, Recurrence.headDim) + word(params, Recurrence.features) + 12) << 5);
}

/** rows[count] = φ of the vectors from `input` on, `stride` bytes apart, of the tokens from `position` on. */
export function mapRows(
  params: usize, rows: usize, input: usize, stride: usize, count: i32, position: i32, isKey: bool, scratch: usize,
): void {
  const map = word(params, Recurrence.map), dim = word(params, Recurrence.headDim), bytes = rowBytes(params);
  if (map == FeatureMap.favor) {
    for (let t = 0; t < count; t += 8) {
      const at = rows + <usize>t * bytes, from = input + <usize>t * stride;
      exponents(params, at, from, stride, min(count - t, 8), isKey, scratch);
    }
    return;
  }
  const table = pointer(params, Recurrence.table) + (<usize>position << 3);
  for (let t = 0; t < count; t++, rows += bytes, input += stride) {
    if (map == FeatureMap.cosformer) {
      relu(rows, input, dim, load<f32>(table + (<usize>t << 3)));
      // May write up to 3 floats into the next row, which comes after.
      relu(rows + (<usize>dim << 2), input, dim, load<f32>(table + (<usize>t << 3), 4));
      fillTail(rows, dim << 1, 4, 0);
    } else {
      if (map == FeatureMap.relu) relu(rows, input, dim, 1);
      else if (map == FeatureMap.elu) elu(rows, input, dim);
      else copyRow(rows, input, dim);
      fillTail(rows, dim, 4, 0);
    }
  }
}

/** max(x, 0) · factor */
function relu(row: usize, input: usize, dim: i32, factor: f32): void {
  const f = f32x4.splat(factor), zero = f32x4.splat(0);
  for (const end = input + (<usize>dim << 2); input < end; input += 16, row += 16) {
    v128.store(row, f32x4.mul(f32x4.max(v128.load(input), zero), f));
  }
}

/** elu(x) + 1 = x + 1 above 0, eˣ below. */
function elu(row: usize, input: usize, dim: i32): void {
  const one = f32x4.splat(1), zero = f32x4.splat(0);
  for (const end = input + (<usize>dim << 2); input < end; input += 16, row += 16) {
    const x = v128.load(input);
    v128.store(row, v128.bitselect(f32x4.add(x, one), exp(x), f32x4.gt(x, zero)));
  }
}

/** decays[count] = e^g of one token. */
export function decayRow(decays: usize, logs: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 16) v128.store(decays + i, exp(v128.load(logs + i)));
  fillTail(decays, count, 4, 0);
}

/** Up to 8 tokens, in the lanes: ωᵀx, of keys less ‖x‖²/2, in log2 units (Choromanski et al. 2021, lemma 1). */
function exponents(params: usize, rows: usize, input: usize, stride: usize, count: i32, isKey: bool, scratch: usize): void {
  const dim = word(params, Recurrence.headDim), features = word(params, Recurrence.features), bytes = rowBytes(params);
  for (let lane = 0; lane < 8; lane++) {
    const t = <usize>min(lane, count - 1), at = scratch + (<usize>lane << 2);
    store<f32>(at, 1);
    store<usize>(at, input + t * stride, INPUTS);
    store<usize>(at, rows + t * bytes, ROWS);
  }
  const columns = scratch + COLUMNS, out = columns + (<usize>dim << 5), projection = pointer(params, Recurrence.projection);
  pack(columns, scratch + INPUTS, dim);
  scale(columns, dim << 1, real(params, Recurrence.inputScale), real(params, Recurrence.inputScaleLow));
  if (word(params, Recurrence.tall)) dotsTall(out, projection, columns, features, dim, <usize>dim << 2);
  else dots(out, projection, columns, features, dim, <usize>dim << 2);
  if (isKey) subtractNorms(out, features, columns, dim);
  unpack(scratch + ROWS, 0, out, features, scratch);
  for (let t = 0; t < count; t++, rows += bytes) fillTail(rows, features, 4, -f32.MAX_VALUE);
}

/** out[features][8] −= log2 e · Σ (columns / log2 e)² / 2 */
function subtractNorms(out: usize, features: i32, columns: usize, dim: i32): void {
  for (let lane: usize = 0; lane < 32; lane += 16) {
    let norm = f32x4.splat(0);
    for (let d: usize = 0; d < <usize>dim; d++) {
      const x = v128.load(columns + (d << 5) + lane);
      norm = f32x4.add(norm, f32x4.mul(x, x));
    }
    norm = f32x4.mul(norm, f32x4.splat(HALF_LN2));
    for (let f: usize = 0; f < <usize>features; f++) {
      const at = out + (f << 5) + lane;
      v128.store(at, f32x4.sub(v128.load(at), norm));
    }
  }
}
