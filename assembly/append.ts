import { Append, Stored } from './params';
import { largestOf } from './micro/bytes';
import { storedBytes } from './micro/widen';
import { narrow } from './simd/half';
import { pointer, word } from './simd/lanes';
import { rotate } from './micro/rotate';

// Keys and values into a cache, keys turned by their positions on the way (RoPE), stored in its type. All parts are one job, so that
// either its memory is there for all of them or nothing is written. Scratch: a row of float32.

// @ts-ignore: top-level decorator
@inline
function partAt(params: usize, part: i32): usize {
  return params + <usize>part * (Append.words << 2);
}

export function appendScratchBytes(params: usize): usize {
  let dim = 0;
  for (let part = 0; part < word(params, Append.parts); part++) dim = max(dim, word(partAt(params, part), Append.dim));
  return <usize>dim << 2;
}

/** One task: one head of one batch of one part. */
export function append(params: usize, task: i32, scratch: usize): void {
  const heads = word(params, Append.heads), perPart = word(params, Append.batch) * heads;
  params = partAt(params, task / perPart);
  task %= perPart;
  const length = word(params, Append.length), dim = word(params, Append.dim), stored = word(params, Append.stored);
  const b = task / heads, h = task % heads, half = <usize>word(params, Append.rotaryDim) >> 1;
  const rows = pointer(params, Append.rows), cos = pointer(params, Append.cos), sin = pointer(params, Append.sin);
  const head = h * word(params, Append.storeRows), scales = pointer(params, Append.scales);
  const rowBytes = storedBytes(stored, dim);
  let input = pointer(params, Append.input)
    + (<usize>(b * word(params, Append.inputBatch) + h * word(params, Append.inputHead)) << 2);
  for (let i = b * length; i < (b + 1) * length; i++, input += <usize>word(params, Append.inputRow) << 2) {
    const row = load<i32>(rows + (<usize>i << 2));
    if (row < 0) continue;
    memory.copy(scratch, input, <usize>dim << 2);
    const angles = <usize>i * half << 2;
    if (cos != 0) rotate(scratch, input, cos + angles, sin + angles, half, word(params, Append.interleaved) != 0);
    const to = pointer(params, Append.store) + <usize>(head + row) * rowBytes;
    if (stored == Stored.float32) memory.copy(to, scratch, rowBytes);
    else if (stored == Stored.float16) storeHalves(to, scratch, dim);
    else store<f32>(scales + (<usize>(head + row) << 2), storeBytes(to, scratch, dim));
  }
}

function storeHalves(to: usize, row: usize, dim: i32): void {
  for (let d: usize = 0; d < <usize>dim; d++) store<u16>(to + (d << 1), <u16>narrow(load<f32>(row + (d << 2))));
}

/** Symmetric int8: q = round(x / scale), scale = max|x| / 127; NaN where the row is not finite. The row's padding is 0. */
function storeBytes(to: usize, row: usize, dim: i32): f32 {
  memory.fill(to, 0, storedBytes(Stored.int8, dim));
  const most = largestOf(row, dim);
  if (!(most < Infinity)) return NaN;
  // In float64: 127 / most may be more than float32 holds.
  const inverse = most > 0 ? 127 / <f64>most : 0;
  for (let d: usize = 0; d < <usize>dim; d++) store<i8>(to + d, <i8>(<i32>nearest(<f64>load<f32>(row + (d << 2)) * inverse)));
  return most / 127;
}
