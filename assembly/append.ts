import { Append, Stored } from './params';
import { storedBytes } from './micro/widen';
import { narrow } from './simd/half';
import { pointer, word } from './simd/lanes';
import { rotate } from './micro/rotate';

// Keys or values into a cache, turned by their positions on the way (RoPE) and stored in its type.
// Scratch: a row of float32.

export function appendScratchBytes(params: usize): usize {
  return <usize>word(params, Append.dim) << 2;
}

/** One task: one head of one batch. */
export function append(params: usize, task: i32, scratch: usize): void {
  const heads = word(params, Append.heads), length = word(params, Append.length), dim = word(params, Append.dim);
  const b = task / heads, h = task % heads, half = <usize>word(params, Append.rotaryDim) >> 1, stored = word(params, Append.stored);
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
  let most: f32 = 0;
  for (let d: usize = 0; d < <usize>dim; d++) {
    const x = abs(load<f32>(row + (d << 2)));
    if (!(x <= most)) most = x;
  }
  if (!(most < Infinity)) return NaN;
  const inverse: f32 = most > 0 ? 127 / most : 0;
  for (let d: usize = 0; d < <usize>dim; d++) store<i8>(to + d, <i8>(<i32>nearest(load<f32>(row + (d << 2)) * inverse)));
  return most / 127;
}
