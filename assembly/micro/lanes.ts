import { madd } from '../simd/lanes';

/** 4 columns' worth of 4 rows at `at`: columns[0…3][4 lanes]. */
// @ts-ignore: top-level decorator
@inline
function transpose4(columns: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const ef = i32x4.shuffle(a, b, 2, 6, 3, 7), gh = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(columns, i64x2.shuffle(ab, cd, 0, 2));
  v128.store(columns, i64x2.shuffle(ab, cd, 1, 3), 32);
  v128.store(columns, i64x2.shuffle(ef, gh, 0, 2), 64);
  v128.store(columns, i64x2.shuffle(ef, gh, 1, 3), 96);
}

// @ts-ignore: top-level decorator
@inline
function rowAt(rows: usize, lane: i32): usize {
  return load<usize>(rows + (<usize>lane << 2));
}

/** columns[dim][8] = the 8 rows that `rows` points to. */
export function pack(columns: usize, rows: usize, dim: i32): void {
  for (let lane = 0; lane < 8; lane += 4) {
    let a = rowAt(rows, lane), b = rowAt(rows, lane + 1), c = rowAt(rows, lane + 2), d = rowAt(rows, lane + 3);
    let at = columns + (<usize>lane << 2), k = 0;
    for (; k + 4 <= dim; k += 4, a += 16, b += 16, c += 16, d += 16, at += 128) {
      transpose4(at, v128.load(a), v128.load(b), v128.load(c), v128.load(d));
    }
    for (; k < dim; k++, a += 4, b += 4, c += 4, d += 4, at += 32) {
      store<f32>(at, load<f32>(a));
      store<f32>(at, load<f32>(b), 4);
      store<f32>(at, load<f32>(c), 8);
      store<f32>(at, load<f32>(d), 12);
    }
  }
}

/** `count` vectors from `at` on, times the number high + low. */
export function scale(at: usize, count: i32, high: f32, low: f32): void {
  const a = f32x4.splat(high), b = f32x4.splat(low);
  for (const end = at + (<usize>count << 4); at < end; at += 16) {
    const x = v128.load(at), y = f32x4.mul(x, a);
    v128.store(at, low == 0 ? y : madd(x, b, y));
  }
}

/** The 8 rows that `rows` points to, from byte `offset` on, = columns[dim][8] · factors[8]; a factor of 0 writes 0 whatever the column holds. */
export function unpack(rows: usize, offset: usize, columns: usize, dim: i32, factors: usize): void {
  const zero = f32x4.splat(0);
  for (let lane = 0; lane < 8; lane += 4) {
    let a = rowAt(rows, lane) + offset, b = rowAt(rows, lane + 1) + offset;
    let c = rowAt(rows, lane + 2) + offset, d = rowAt(rows, lane + 3) + offset;
    const f = v128.load(factors + (<usize>lane << 2)), seen = f32x4.ne(f, zero);
    let at = columns + (<usize>lane << 2), k = 0;
    for (; k + 4 <= dim; k += 4, a += 16, b += 16, c += 16, d += 16, at += 128) {
      const p = v128.and(f32x4.mul(v128.load(at), f), seen), q = v128.and(f32x4.mul(v128.load(at, 32), f), seen);
      const r = v128.and(f32x4.mul(v128.load(at, 64), f), seen), s = v128.and(f32x4.mul(v128.load(at, 96), f), seen);
      const pq = i32x4.shuffle(p, q, 0, 4, 1, 5), rs = i32x4.shuffle(r, s, 0, 4, 1, 5);
      const tu = i32x4.shuffle(p, q, 2, 6, 3, 7), vw = i32x4.shuffle(r, s, 2, 6, 3, 7);
      v128.store(a, i64x2.shuffle(pq, rs, 0, 2));
      v128.store(b, i64x2.shuffle(pq, rs, 1, 3));
      v128.store(c, i64x2.shuffle(tu, vw, 0, 2));
      v128.store(d, i64x2.shuffle(tu, vw, 1, 3));
    }
    for (; k < dim; k++, a += 4, b += 4, c += 4, d += 4, at += 32) {
      const p = v128.and(f32x4.mul(v128.load(at), f), seen);
      store<f32>(a, f32x4.extract_lane(p, 0));
      store<f32>(b, f32x4.extract_lane(p, 1));
      store<f32>(c, f32x4.extract_lane(p, 2));
      store<f32>(d, f32x4.extract_lane(p, 3));
    }
  }
}
