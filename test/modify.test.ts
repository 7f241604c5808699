import { describe, expect, it } from 'vitest';
import { attentionState, everyScore, KVCache, masks, type PairMod, type Predicate } from 'wasm-attention';
import { attention, type AttentionOptions as ReferenceOptions } from 'wasm-attention/reference';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

type Plain = Pick<ReferenceOptions, 'causal' | 'window' | 'keyLengths' | 'sink' | 'scale'> & { mask?: Predicate };

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);
  const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: 75, keys: 140, headDim: 10, valueDim: 7 };

  /** `change` is what the reference adds to the scores as a bias: so it must be a sum. */
  function check(given: Partial<typeof sizes>, added: PairMod, options: Plain = {}): void {
    const { batch, heads, kvHeads, queries, keys, headDim, valueDim } = { ...sizes, ...given };
    const arrays = [
      random([batch, heads, queries, headDim], 1),
      random([batch, kvHeads, keys, headDim], 2),
      random([batch, kvHeads, keys, valueDim], 3),
    ] as const;
    const at = (index: number) => {
      const [head, i, j] = [Math.floor(index / keys / queries), Math.floor(index / keys) % queries, index % keys];
      return Math.fround(added(0, Math.floor(head / heads), head % heads, i, j));
    };
    const data = Float64Array.from({ length: batch * heads * queries * keys }, (_, index) => at(index));
    const full = { ...options, bias: { shape: [batch, heads, queries, keys], data } };
    const truth = attention(...arrays, full);
    const float32 = attention(...arrays, { ...full, precision: 'float32' });
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      const { mask: maskMod, ...rest } = options;
      const { output, lse } = attentionState(q, k, v, { ...rest, maskMod, scoreMod: everyScore(added) });
      expectAccurate(output.data, truth.output.data, float32.output.data, 'output', 2 ** -21);
      expectAccurate(lse.data, truth.lse.data, float32.lse.data, 'lse', 2 ** -21);
    });
  }

  const relative: PairMod = (score, _b, _h, i, j) => score + (i - j) / 64;
  const everything: PairMod = (score, b, h, i, j) => score + Math.sin(b + 3 * h + 5 * i + 7 * j);

  it('is told which score it changes', () => {
    check({}, relative);
    check({}, everything);
    for (const queries of [1, 7, 8, 9, 64, 65]) check({ queries, keys: 121, batch: 3 }, everything);
    for (const keys of [1, 3, 120, 241]) check({ keys }, everything);
    check({ heads: 6, kvHeads: 1, queries: 2, headDim: 65, valueDim: 70 }, everything);
  });

  it('beside masks, sinks and the rest', () => {
    check({}, everything, { causal: true });
    check({}, everything, { window: [30, 3], keyLengths: [0, 99] });
    check({}, everything, { mask: (b, h, i, j) => (b + h + i * 3 + j * 5) % 4 > 0 });
    check({}, everything, { sink: [0, 1, -3, 4], scale: 0.5 });
    check({}, (score, _b, _h, i, j) => (j > i ? -Infinity : score), {});
  });

  it('sees the scores themselves, in their unit, and pairs of the plan alone', () => {
    const arrays = [random([1, 1, 70, 6], 1), random([1, 1, 150, 6], 2), random([1, 1, 150, 5], 3)] as const;
    const mask = (_b: number, _h: number, i: number, j: number) => j >= 2 * i && j < 2 * i + 9;
    const { scores, capped } = attention(...arrays, { softcap: 2 });
    expect(scores.data).not.toEqual(capped.data);
    const seen = new Set<number>();
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      attentionState(q, k, v, {
        softcap: 2,
        maskMod: mask,
        scoreMod: (values, { batch, head, query, key, queries, keys }) => {
          expect([batch, head, values.length, values.buffer]).toEqual([0, 0, 8 * keys, runtime.buffer]);
          for (let j = 0; j < keys; j++) {
            for (let i = 0; i < queries; i++) {
              const at = (query + i) * 150 + key + j;
              expect(Math.abs(values[8 * j + i] - capped.data[at])).toBeLessThan(1e-5);
              seen.add(at);
            }
          }
        },
      });
    });
    for (let i = 0; i < 70; i++) for (let j = 2 * i; j < 2 * i + 9; j++) expect(seen.has(i * 150 + j)).toBe(true);
    expect(seen.size).toBeLessThan((70 * 150) / 2);
  });

  it('keeps a masked NaN out', () => {
    const arrays = [random([1, 1, 9, 6], 1), random([1, 1, 40, 6], 2), random([1, 1, 40, 5], 3)] as const;
    const options = { keyLengths: [30], scoreMod: everyScore((score) => 2 * score) };
    const truth = attention(...arrays, { keyLengths: [30], scale: 2 / Math.sqrt(6) });
    for (const [array, dim] of [
      [arrays[1], 6],
      [arrays[2], 5],
    ] as const)
      array.data.fill(Number.NaN, 30 * dim);
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      const { output } = attentionState(q, k, v, options);
      for (const [i, x] of output.data.entries()) expect(Math.abs(x - truth.output.data[i])).toBeLessThan(1e-5);
    });
  });

  it('changes weights after the softmax', () => {
    const arrays = [random([1, 4, 70, 6], 1), random([1, 2, 150, 6], 2), random([1, 2, 150, 5], 3)] as const;
    const options = { causal: true, sink: [0, 1, 2, 3] };
    const { weights, lse } = attention(...arrays, options);
    const probMod = everyScore((weight, _b, h, i, j) => weight * weight * (1 + h) - (i + j) / 1000);
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      const state = attentionState(q, k, v, { ...options, probMod });
      for (const [i, x] of state.lse.data.entries()) expect(Math.abs(x - lse.data[i])).toBeLessThan(1e-5);
      for (let h = 0; h < 4; h++) {
        for (let i = 0; i < 70; i++) {
          const sum = new Float64Array(5);
          for (let j = 0; j <= 80 + i; j++) {
            const weight = weights.data[(h * 70 + i) * 150 + j];
            const changed = weight * weight * (1 + h) - (i + j) / 1000;
            for (let d = 0; d < 5; d++) sum[d] += changed * arrays[2].data[((h >> 1) * 150 + j) * 5 + d];
          }
          for (let d = 0; d < 5; d++)
            expect(Math.abs(state.output.data[(h * 70 + i) * 5 + d] - sum[d])).toBeLessThan(1e-5);
        }
      }
    });
  });

  it('works on caches of every storage', () => {
    const shape = [1, 2, 50, 16];
    const [query, key, value] = [random([1, 4, 3, 16], 1), random(shape, 2, 1), random(shape, 3, 1)];
    const scoreMod = everyScore(relative);
    for (const dtype of ['float32', 'float16', 'int8'] as const) {
      runtime.scope(() => {
        const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
        const cache = new KVCache(runtime, { batch: 1, kvHeads: 2, headDim: 16, maxLength: 64, dtype });
        cache.append(k, v);
        const exact = attentionState(q, k, v, { scoreMod, causal: true }).output.data;
        const cached = attentionState(q, cache, { scoreMod, causal: true }).output.data;
        const bound = { float32: 1e-6, float16: 2e-3, int8: 2e-2 }[dtype];
        for (const [i, x] of cached.entries()) expect(Math.abs(x - exact[i])).toBeLessThan(bound);
        cache.dispose();
      });
    }
  });

  it('frees everything when the function throws', () => {
    const used = runtime.memory.usedBytes;
    runtime.scope(() => {
      const [q, k] = [upload(runtime, random([1, 1, 9, 4], 1)), upload(runtime, random([1, 1, 20, 4], 2))];
      const boom = () => {
        throw new Error('boom');
      };
      expect(() => attentionState(q, k, k, { scoreMod: boom })).toThrow('boom');
      expect(() => attentionState(q, k, k, { probMod: boom })).toThrow('boom');
      attentionState(q, k, k, { mask: masks.causal() });
    });
    expect(runtime.memory.usedBytes).toBe(used);
  });
});
