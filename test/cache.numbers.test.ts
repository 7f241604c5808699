import { describe, expect, it } from 'vitest';
import { KVCache, masks, scaledDotProductAttention } from 'wasm-attention';
import { roundToHalf } from 'wasm-attention/reference';
import { dtypes, ROWS, using } from './cacheModel.ts';
import { poisonedRuntime, random, testBuilds } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  describe.each(dtypes)('%s', (dtype) => {
    it('equal elements, whose products all have one sign', () => {
      for (const headDim of [2048, 2064, 4096]) {
        using(runtime, { dtype, kvHeads: 1, headDim, maxLength: 5 }, (model) => {
          const rows = (x: number, n: number) => ({
            shape: [1, 1, n, headDim],
            data: new Float32Array(n * headDim).fill(x),
          });
          model.append(5, undefined, { key: rows(0.01, 5), value: random([1, 1, 5, headDim], 1) });
          for (const sign of [1, -1]) {
            model.attend(rows(0.01 * sign, 1));
            model.attend(rows(0.01 * sign, 2));
          }
        });
      }
    });

    it('NaN and Infinity in masked keys and values', () => {
      using(runtime, { dtype, kvHeads: 1, headDim: 20, valueDim: 17, maxLength: 1100, pageSize: 100 }, (model) => {
        const given = model.tokens(1100);
        const bad = (j: number) => j % 9 === 4 || j > 1090;
        const poison = [Number.NaN, Infinity, -Infinity, 1e30];
        for (let j = 0; j < 1100; j++) {
          if (!bad(j)) continue;
          (given.key.data as Float32Array)[j * 20 + (j % 20)] = poison[j % 3];
          (given.value.data as Float32Array)[j * 17 + (j % 17)] = poison[j % 3];
        }
        model.append(1100, undefined, given);
        const mask = (_b: number, _h: number, _i: number, j: number) => !bad(j);
        for (const [queries, group] of ROWS) {
          const { output } = model.attend(model.query(group, queries), { mask }, { mask: masks.fromPredicate(mask) });
          expect(output.data.every(Number.isFinite)).toBe(true);
        }
      });
    });

    it('a visible NaN, in its dims or, in an int8 row, in all', () => {
      for (const d of [0, 5, 18]) {
        using(runtime, { dtype, kvHeads: 1, headDim: 20, valueDim: 19, maxLength: 9 }, (model) => {
          const given = model.tokens(9);
          (given.value.data as Float32Array)[4 * 19 + d] = Number.NaN;
          model.append(9, undefined, given);
          for (const [queries, group] of ROWS) {
            const { output } = model.attend(model.query(group, queries));
            expect(output.data.filter(Number.isNaN)).toHaveLength((dtype === 'int8' ? 19 : 1) * queries * group);
          }
        });
      }
    });

    it('values that lie in the keys', () => {
      for (const [headDim, valueDim, tokens] of [
        [576, 512, 9],
        [48, 33, 130],
        [20, 20, 20],
        [17, 1, 20],
      ]) {
        const sizes = { dtype, headDim, valueDim, kvHeads: 2, batch: 2, maxLength: tokens + 5, pageSize: 50 };
        using(runtime, { ...sizes, sharedValues: true }, (model) => {
          model.append(tokens, [tokens, 3]).append(2);
          for (const [queries, group] of [...ROWS, [3, 30]])
            model.attend(model.query(2 * group, queries), { causal: true });
        });
      }
    });

    it('rows from 1e-42 to 1e36, and queries to match', () => {
      using(runtime, { dtype, kvHeads: 1, headDim: 16, maxLength: 12 }, (model) => {
        for (const range of [1e-42, 1e-38, 1e-30, 1e-5, 1, 1e4, 1e30, 1e36]) {
          model.cache.reset();
          model.reference.reset();
          model.append(12, undefined, model.tokens(12, range));
          if (dtype === 'float16' && range > 65504) continue;
          for (const group of [1, 3, 9]) model.attend(model.query(group, 1, Math.min(1 / range, 1e37)));
        }
      });
    });
  });

  it('float16 rounds as the reference does: all exponents, ties, subnormals, overflow', () => {
    const values: number[] = [65519, 65520, 65504, 1e9, 2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, -0, 0];
    for (let exponent = -27; exponent < 17; exponent++)
      for (let step = 0; step < 4096; step += 37)
        for (const off of [0, 1, 2])
          values.push((1 + step / 4096) * 2 ** exponent, -(1 + (step + off / 2) / 4096) * 2 ** exponent);
    while (values.length % 64) values.push(0);
    const rows = values.length / 64;
    const cache = new KVCache(runtime, {
      batch: rows,
      kvHeads: 1,
      headDim: 1,
      valueDim: 64,
      maxLength: 1,
      dtype: 'float16',
    });
    runtime.scope(() => {
      cache.append(runtime.zeros([rows, 1, 1, 1]), runtime.tensor([rows, 1, 1, 64], values));
      const { data } = scaledDotProductAttention(runtime.zeros([rows, 1, 1, 1]), cache);
      values.forEach((x, i) => {
        // 0 + weight · −0 is 0.
        expect(data[i]).toBe(roundToHalf(Math.fround(x)) + 0);
      });
    });
    cache.dispose();
  });
});
