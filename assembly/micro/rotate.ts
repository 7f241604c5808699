/**
 * One row of a rotary embedding (Su et al. 2021, eq. 34): pair k of `half` turns by the angle of cos[k], sin[k]. Pairs are (k, k + half) or,
 * interleaved, (2k, 2k + 1). The output may be the input; what is past the pairs is not written.
 */
export function rotate(output: usize, input: usize, cos: usize, sin: usize, half: usize, interleaved: bool): void {
  const bytes = half << 2;
  let k: usize = 0;
  if (interleaved) {
    for (; k + 16 <= bytes; k += 16) {
      const a = v128.load(input + 2 * k), b = v128.load(input + 2 * k, 16), c = v128.load(cos + k), s = v128.load(sin + k);
      const x = i32x4.shuffle(a, b, 0, 2, 4, 6), y = i32x4.shuffle(a, b, 1, 3, 5, 7);
      const p = f32x4.sub(f32x4.mul(x, c), f32x4.mul(y, s)), q = f32x4.add(f32x4.mul(x, s), f32x4.mul(y, c));
      v128.store(output + 2 * k, i32x4.shuffle(p, q, 0, 4, 1, 5));
      v128.store(output + 2 * k, i32x4.shuffle(p, q, 2, 6, 3, 7), 16);
    }
  } else {
    for (; k + 16 <= bytes; k += 16) {
      const x = v128.load(input + k), y = v128.load(input + bytes + k), c = v128.load(cos + k), s = v128.load(sin + k);
      v128.store(output + k, f32x4.sub(f32x4.mul(x, c), f32x4.mul(y, s)));
      v128.store(output + bytes + k, f32x4.add(f32x4.mul(x, s), f32x4.mul(y, c)));
    }
  }
  for (; k < bytes; k += 4) {
    const at: usize = interleaved ? k << 1 : k, other: usize = interleaved ? at + 4 : at + bytes;
    const x = load<f32>(input + at), y = load<f32>(input + other), c = load<f32>(cos + k), s = load<f32>(sin + k);
    store<f32>(output + at, x * c - y * s);
    store<f32>(output + other, x * s + y * c);
  }
}
