import { describe, expect, it } from 'vitest';
import {
  addPositions,
  alibiSlopes,
  applyRotaryTables,
  MixedRotaryEmbedding,
  RotaryEmbedding,
  type RotaryScaling,
  relativePositionBias,
  sinusoidalEncoding,
} from 'wasm-attention';
import {
  mixedRotaryEmbedding,
  type RotaryOptions,
  relativePositionBias as referenceBias,
  sinusoidalEncoding as referenceSinusoidal,
  alibiSlopes as referenceSlopes,
  rotaryEmbedding,
  rotaryTable,
} from 'wasm-attention/reference';
import { whole } from '../src/runtime/whole.ts';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

const list = (length: number, value: (k: number) => number) => Array.from({ length }, (_, k) => value(k));

const scalings: RotaryScaling[] = [
  { type: 'linear', factor: 4 },
  { type: 'ntk', factor: 4 },
  { type: 'dynamic', factor: 2, originalMaxPosition: 16, length: 40 },
  { type: 'dynamic', factor: 2, originalMaxPosition: 64, length: 40 },
  { type: 'yarn', factor: 16, originalMaxPosition: 256 },
  { type: 'yarn', factor: 4, originalMaxPosition: 64, betaFast: 8, betaSlow: 2, attentionFactor: 1.25 },
  { type: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPosition: 128 },
  ...[32, 64].map(
    (length): RotaryScaling => ({
      type: 'longrope',
      shortFactor: list(20, (k) => 1 + k / 20),
      longFactor: list(20, (k) => 2 + k),
      originalMaxPosition: 40,
      factor: 4,
      length,
    }),
  ),
];

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  it.each(['half', 'interleaved'] as const)('%s, mixed: frequencies of each head on several axes', (style) => {
    for (const [batch, heads, length, headDim, axes] of [
      [2, 3, 12, 8, 2],
      [1, 1, 1, 2, 1],
      [3, 2, 70, 20, 3],
      [2, 4, 0, 6, 2],
    ]) {
      const frequencies = random([axes, heads, headDim / 2], 1);
      const rotary = new MixedRotaryEmbedding(runtime, { headDim, heads, frequencies: frequencies.data, style });
      expect(rotary.axes).toBe(axes);
      for (const layout of ['bhsd', 'bshd'] as const) {
        const input = random(layout === 'bhsd' ? [batch, heads, length, headDim] : [batch, length, heads, headDim], 2);
        for (const batches of [1, batch]) {
          const positions = random([axes, batches, length], 3, 200);
          const reference = (precision?: 'float32') =>
            mixedRotaryEmbedding(input, frequencies, positions, { style, layout, precision }).data;
          runtime.scope(() => {
            const given = upload(runtime, input);
            const output = runtime.empty(input.shape);
            expect(rotary.apply(given, { positions: positions.data, layout, output })).toBe(output);
            expect(given.data).toEqual(input.data);
            expectAccurate(output.data, reference(), reference('float32'));
            rotary.apply(given, { positions: positions.data, layout });
            expect(given.data).toEqual(output.data);
            rotary.apply(given, { positions: new Float64Array(axes * length), layout });
            expect(given.data).toEqual(output.data);
          });
        }
      }
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });

  it('sin and cos of millions', () => {
    const { sin, cos } = whole(runtime).kernels;
    let worst = 0;
    for (let x = 2 ** 19; x < 2 ** 24; x *= 1.0001) {
      for (const angle of [x, -x]) {
        const error = Math.max(Math.abs(sin(angle) - Math.sin(angle)), Math.abs(cos(angle) - Math.cos(angle)));
        if (!(error <= worst)) worst = error;
      }
    }
    expect(worst).toBeLessThanOrEqual(2e-15);
  });

  function check(
    shape: number[],
    options: RotaryOptions & { positions?: { shape: number[]; data: Float64Array } } = {},
  ) {
    const input = random(shape, 1);
    const truth = rotaryEmbedding(input, options);
    const float32 = rotaryEmbedding(input, { ...options, precision: 'float32' });
    const { positions, offset, role, layout, rotaryDim, base, style, scaling, axes, xpos } = options;
    const rope = new RotaryEmbedding(runtime, { headDim: shape[3], rotaryDim, base, style, scaling, axes, xpos });
    const at = { offset, role, layout, ...(positions ? { positions: positions.data } : {}) };
    runtime.scope(() => {
      const given = upload(runtime, input);
      const output = runtime.empty(shape);
      expect(rope.apply(given, { ...at, output })).toBe(output);
      expect(given.data).toEqual(input.data);
      expectAccurate(output.data, truth.data, float32.data);
      expect(rope.apply(given, at)).toBe(given);
      expect(given.data).toEqual(output.data);
    });
    expect(runtime.memory.usedBytes).toBe(0);
  }

  it.each(['half', 'interleaved'] as const)('rotary embedding, style %s', (style) => {
    for (const headDim of [2, 40, 58, 64, 80, 96, 110, 128, 256]) check([2, 3, 9, headDim], { style });
    for (const length of [0, 1, 2, 65]) check([1, 2, length, 6], { style, offset: 7 });
    for (const rotaryDim of [0, 2, 20, 40]) check([2, 2, 9, 41], { style, rotaryDim, base: 500 });
    check([2, 3, 9, 16], { style, layout: 'bshd', offset: 1e5 });
    check([0, 3, 9, 16], { style });
  });

  it('rotary embedding at positions of its own, fractions among them', () => {
    const shared = { shape: [9], data: Float64Array.from([5, 0, 3, 3, 1e6, -7, 0.5, 2, 1]) };
    const perBatch = { shape: [2, 9], data: Float64Array.from({ length: 18 }, (_, i) => (i * 37) % 101) };
    for (const layout of ['bhsd', 'bshd'] as const) {
      const shape = layout === 'bhsd' ? [2, 3, 9, 16] : [2, 9, 3, 16];
      for (const positions of [shared, perBatch]) check(shape, { layout, positions, rotaryDim: 12 });
    }
  });

  it.each(scalings)('rotary embedding scaled: $type', (scaling) => {
    check([1, 2, 40, 40], { scaling });
    check([1, 2, 40, 48], { scaling, rotaryDim: 40, style: 'interleaved', offset: 100 });
  });

  it('rotary embedding on several axes', () => {
    const positions = (axes: number, ...rest: number[]) => {
      const shape = [axes, ...rest];
      return { shape, data: Float64Array.from({ length: axes * rest[0] * rest[1] }, (_, i) => (i * 37) % 53) };
    };
    for (const axes of [
      { sections: [4, 6, 10] },
      { sections: [8, 6, 6], arrangement: 'interleaved' as const },
      { sections: [7, 13], arrangement: 'axial' as const },
      { sections: [20] },
    ]) {
      const count = axes.sections.length;
      for (const style of ['half', 'interleaved'] as const) {
        check([2, 3, 9, 40], { axes, style, positions: positions(count, 1, 9) });
        check([2, 9, 3, 43], { axes, style, rotaryDim: 40, layout: 'bshd', positions: positions(count, 2, 9) });
        check([1, 2, 9, 40], { axes, style, offset: 7, base: 100 });
      }
      check([1, 2, 30, 40], { axes, scaling: { type: 'yarn', factor: 16, originalMaxPosition: 256 } });
    }
  });

  it('text at equal positions on all axes turns as with one', () => {
    const input = random([1, 2, 9, 40], 3);
    runtime.scope(() => {
      const [one, three] = [undefined, { sections: [4, 6, 10] }].map((axes) =>
        new RotaryEmbedding(runtime, { headDim: 40, axes }).apply(upload(runtime, input), { offset: 5 }),
      );
      expect(three.data).toEqual(one.data);
    });
  });

  it('xPos: queries grow as keys shrink', () => {
    for (const role of ['query', 'key'] as const) {
      check([2, 3, 40, 40], { xpos: {}, role });
      check([2, 3, 40, 43], { xpos: { scaleBase: 64, center: 20, gamma: 0.5 }, role, rotaryDim: 40, offset: 10 });
      check([2, 9, 2, 6], {
        xpos: {},
        role,
        layout: 'bshd',
        positions: { shape: [2, 9], data: Float64Array.from({ length: 18 }, (_, i) => (i * 37) % 101) },
      });
    }
  });

  it('relative bias of T5', () => {
    for (const [buckets, heads] of [
      [32, 3],
      [4, 1],
      [64, 2],
    ]) {
      for (const [queries, keys] of [
        [0, 0],
        [0, 5],
        [1, 0],
        [1, 1],
        [1, 200],
        [70, 9],
        [65, 130],
      ]) {
        for (const given of [{}, { bidirectional: false }, { queryOffset: -3, maxDistance: 40 }, { queryOffset: 99 }]) {
          const options = { queries, keys, ...given };
          const table = random([buckets, heads], queries);
          runtime.scope(() => {
            const bias = relativePositionBias(upload(runtime, table), options);
            const expected = referenceBias(table, options);
            expect(bias.shape).toEqual(expected.shape);
            expect(Array.from(bias.data)).toEqual(Array.from(expected.data));
          });
        }
      }
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });

  it('learned positions', () => {
    const [x, table] = [random([2, 3, 5], 1), random([9, 5], 2)];
    const expected = (rows: number[]) =>
      Float32Array.from(x.data, (value, at) => value + table.data[rows[Math.floor(at / 5)] * 5 + (at % 5)]);
    runtime.scope(() => {
      const given = upload(runtime, table);
      for (const [options, rows] of [
        [{}, [0, 1, 2, 0, 1, 2]],
        [{ offset: 6 }, [6, 7, 8, 6, 7, 8]],
        [{ positions: [8, 0, 3] }, [8, 0, 3, 8, 0, 3]],
        [{ positions: [8, 0, 3, 1, 1, 5] }, [8, 0, 3, 1, 1, 5]],
      ] as const) {
        const input = upload(runtime, x);
        const output = runtime.empty(x.shape);
        expect(addPositions(input, given, { ...options, output })).toBe(output);
        expect(output.data).toEqual(expected([...rows]));
        expect(input.data).toEqual(x.data);
        expect(addPositions(input, given, options)).toBe(input);
        expect(input.data).toEqual(output.data);
      }
    });
  });

  it('rotary embedding by given tables', () => {
    const positions = [3, 0, 2, 2, 1, 3];
    const { cos, sin } = rotaryTable([0, 1, 2, 3], { rotaryDim: 8 });
    for (const style of ['half', 'interleaved'] as const) {
      const input = random([2, 2, 3, 11], 4);
      const given = { style, rotaryDim: 8, positions: { shape: [2, 3], data: positions } };
      runtime.scope(() => {
        const output = runtime.empty(input.shape);
        const tables = { cos: upload(runtime, cos), sin: upload(runtime, sin) };
        applyRotaryTables(upload(runtime, input), tables, { style, positions, output });
        const truth = rotaryEmbedding(input, given).data;
        expectAccurate(output.data, truth, rotaryEmbedding(input, { ...given, precision: 'float32' }).data);
      });
    }
  });

  it.each(['interleaved', 'concatenated'] as const)('sinusoidal encoding, layout %s', (layout) => {
    for (const dim of [1, 2, 3, 4, 5, 63, 64, 65, 128]) {
      for (const given of [
        { length: 70 },
        { length: 3, offset: 1e6, base: 500 },
        { length: 2, offset: -0.5 },
        { length: 0 },
      ]) {
        const options = { dim, layout, ...given };
        runtime.scope(() => {
          const table = sinusoidalEncoding(runtime, options);
          expect(table.shape).toEqual([given.length, dim]);
          const float32 = referenceSinusoidal({ ...options, precision: 'float32' });
          expectAccurate(table.data, referenceSinusoidal(options).data, float32.data);
        });
      }
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });
});

it('alibiSlopes are those of the reference, in float32', () => {
  for (let heads = 1; heads <= 40; heads++) {
    expect(alibiSlopes(heads)).toEqual(Float32Array.from(referenceSlopes(heads)));
  }
});
