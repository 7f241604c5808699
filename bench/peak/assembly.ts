// What the machine can do, measured in the same run as everything else. The loops name their registers: an array would be memory.

/** `f32x4.relaxed_madd`, 10 independent chains: latency 4 on 2 pipes needs 8, V8 has 15 registers on x86-64. */
export function fused(factor: f32, term: f32, iterations: i32): f32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 0;
  const x = f32x4.splat(factor);
  const y = f32x4.splat(term);
  let a = y,
    b = x,
    c = y,
    d = x,
    e = y,
    f = x,
    g = y,
    h = x,
    i = y,
    j = x;
  for (let n = 0; n < iterations; n++) {
    a = f32x4.relaxed_madd(a, x, y);
    b = f32x4.relaxed_madd(b, x, y);
    c = f32x4.relaxed_madd(c, x, y);
    d = f32x4.relaxed_madd(d, x, y);
    e = f32x4.relaxed_madd(e, x, y);
    f = f32x4.relaxed_madd(f, x, y);
    g = f32x4.relaxed_madd(g, x, y);
    h = f32x4.relaxed_madd(h, x, y);
    i = f32x4.relaxed_madd(i, x, y);
    j = f32x4.relaxed_madd(j, x, y);
  }
  return lane(sum(sum(sum(a, b), sum(c, d)), sum(sum(e, f), sum(sum(g, h), sum(i, j)))));
}

/** mul, then add on its result: 12 chains. */
export function chained(factor: f32, term: f32, iterations: i32): f32 {
  const x = f32x4.splat(factor);
  const y = f32x4.splat(term);
  let a = y,
    b = x,
    c = y,
    d = x,
    e = y,
    f = x,
    g = y,
    h = x,
    i = y,
    j = x,
    k = y,
    l = x;
  for (let n = 0; n < iterations; n++) {
    a = f32x4.add(f32x4.mul(a, x), y);
    b = f32x4.add(f32x4.mul(b, x), y);
    c = f32x4.add(f32x4.mul(c, x), y);
    d = f32x4.add(f32x4.mul(d, x), y);
    e = f32x4.add(f32x4.mul(e, x), y);
    f = f32x4.add(f32x4.mul(f, x), y);
    g = f32x4.add(f32x4.mul(g, x), y);
    h = f32x4.add(f32x4.mul(h, x), y);
    i = f32x4.add(f32x4.mul(i, x), y);
    j = f32x4.add(f32x4.mul(j, x), y);
    k = f32x4.add(f32x4.mul(k, x), y);
    l = f32x4.add(f32x4.mul(l, x), y);
  }
  const left = sum(sum(sum(a, b), sum(c, d)), sum(e, f));
  return lane(sum(left, sum(sum(sum(g, h), sum(i, j)), sum(k, l))));
}

/** mul of a load, add to a sum: the form of a matrix product, where only the add is in the chain. 8 chains, data in L1. */
export function accumulated(factor: f32, address: usize, iterations: i32): f32 {
  const x = f32x4.splat(factor);
  let a = x,
    b = x,
    c = x,
    d = x,
    e = x,
    f = x,
    g = x,
    h = x;
  for (let n = 0; n < iterations; n++) {
    const from = address + ((<usize>n & 31) << 7);
    a = f32x4.add(a, f32x4.mul(v128.load(from), x));
    b = f32x4.add(b, f32x4.mul(v128.load(from, 16), x));
    c = f32x4.add(c, f32x4.mul(v128.load(from, 32), x));
    d = f32x4.add(d, f32x4.mul(v128.load(from, 48), x));
    e = f32x4.add(e, f32x4.mul(v128.load(from, 64), x));
    f = f32x4.add(f, f32x4.mul(v128.load(from, 80), x));
    g = f32x4.add(g, f32x4.mul(v128.load(from, 96), x));
    h = f32x4.add(h, f32x4.mul(v128.load(from, 112), x));
  }
  return lane(sum(sum(sum(a, b), sum(c, d)), sum(sum(e, f), sum(g, h))));
}

/** Reads `bytes` from `address`, in order, into 8 sums. */
export function read(address: usize, bytes: usize): i32 {
  let a = i32x4.splat(0),
    b = a,
    c = a,
    d = a,
    e = a,
    f = a,
    g = a,
    h = a;
  for (const end = address + bytes; address < end; address += 128) {
    a = i32x4.add(a, v128.load(address));
    b = i32x4.add(b, v128.load(address, 16));
    c = i32x4.add(c, v128.load(address, 32));
    d = i32x4.add(d, v128.load(address, 48));
    e = i32x4.add(e, v128.load(address, 64));
    f = i32x4.add(f, v128.load(address, 80));
    g = i32x4.add(g, v128.load(address, 96));
    h = i32x4.add(h, v128.load(address, 112));
  }
  const total = i32x4.add(i32x4.add(i32x4.add(a, b), i32x4.add(c, d)), i32x4.add(i32x4.add(e, f), i32x4.add(g, h)));
  return i32x4.extract_lane(total, 0);
}

function sum(a: v128, b: v128): v128 {
  return f32x4.add(a, b);
}

function lane(a: v128): f32 {
  return f32x4.extract_lane(a, 0);
}
