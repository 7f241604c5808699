/** Copies `count` floats. memory.copy is a call out of WebAssembly: too slow for a row. */
// @ts-ignore: top-level decorator
@inline
export function copyRow(to: usize, from: usize, count: i32): void {
  const end = from + (<usize>(count & ~3) << 2);
  for (; from < end; from += 16, to += 16) v128.store(to, v128.load(from));
  for (let i = 0; i < (count & 3); i++, from += 4, to += 4) store<f32>(to, load<f32>(from));
}

/** `value` in the elements of a row from `count` up to the next multiple of `multiple`, a power of two. */
// @ts-ignore: top-level decorator
@inline
export function fillTail(row: usize, count: i32, multiple: i32, value: f32): void {
  for (; count & (multiple - 1); count++) store<f32>(row + (<usize>count << 2), value);
}

/** output[count] = row · factor, a factor in two parts. */
export function scaleRow(output: usize, row: usize, count: i32, factor: f64): void {
  const high = <f32>factor, low = <f32>(factor - <f64>high);
  const a = f32x4.splat(high), b = f32x4.splat(low);
  const end = output + (<usize>(count & ~3) << 2);
  for (; output < end; output += 16, row += 16) {
    const x = v128.load(row);
    v128.store(output, f32x4.add(f32x4.mul(x, a), f32x4.mul(x, b)));
  }
  for (let i = 0; i < (count & 3); i++, output += 4, row += 4) store<f32>(output, load<f32>(row) * high + load<f32>(row) * low);
}
