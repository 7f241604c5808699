import { describe } from 'vitest';
import { alibiSlopes, applyRotaryTables, RotaryEmbedding, sinusoidalEncoding } from 'wasm-attention';
import { float, type Loose, notTensors, ofOther, output, type Row, refuses, runtime } from './refused.ts';

const N = Number.NaN;

describe('RotaryEmbedding', () => {
  const input = float(1, 2, 3, 6);
  const rope = new RotaryEmbedding(runtime, { headDim: 6 });
  const make = (options: Loose) => () => new RotaryEmbedding(runtime, options);
  const scaled = (scaling: Loose) => make({ headDim: 6, scaling });
  const tables = { cos: float(4, 3), sin: float(4, 3) };
  refuses([
    ['headDim 0', make({ headDim: 0 }), RangeError, /"headDim" is 0/],
    ['rotaryDim odd', make({ headDim: 6, rotaryDim: 3 }), RangeError, /"rotaryDim" is 3, not even or greater/],
    ['headDim odd', make({ headDim: 5 }), RangeError, /"rotaryDim" is 5/],
    ['rotaryDim large', make({ headDim: 6, rotaryDim: 8 }), RangeError, /greater than headDim 6/],
    ...[0, -1, N, Infinity].map((base): Row => [`base ${base}`, make({ headDim: 6, base }), RangeError, /"base" is/]),
    ['style', make({ headDim: 6, style: 'neox' }), TypeError, /"style" must be 'half' or 'interleaved'/],
    ['theta', make({ headDim: 6, theta: 1 }), TypeError, /unknown option "theta"/],
    [
      'scaling type',
      scaled({ type: 'su' }),
      TypeError,
      /"scaling.type" must be 'linear', .*'longrope', but it is 'su'/,
    ],
    ['scaling null', scaled(null), TypeError, /"scaling.type" must be/],
    ['no factor', scaled({ type: 'linear' }), RangeError, /"scaling" \(linear\) gives frequencies that are not finite/],
    ['factor 0', scaled({ type: 'linear', factor: 0 }), RangeError, /not finite/],
    [
      'short list',
      scaled({ type: 'longrope', shortFactor: [1], longFactor: [1], originalMaxPosition: 9 }),
      RangeError,
      /not finite/,
    ],
    ...notTensors((tensor) => rope.apply(tensor), 'input'),
    ofOther((tensor) => rope.apply(tensor), 'input'),
    ...notTensors((tensor) => rope.apply(input, { output: tensor }), 'output').slice(1),
    ['headDim', () => rope.apply(float(1, 2, 3, 4)), RangeError, /"input" has headDim 4, but 6 is needed/],
    ['rank', () => rope.apply(float(3, 6)), RangeError, /"input" has rank 2/],
    ['output shape', () => rope.apply(input, { output: float(1, 2, 6, 3) }), RangeError, /"output" has shape/],
    [
      'output overlaps',
      () =>
        rope.apply(input.view([6, 6]).slice(0, 3).view([1, 1, 3, 6]), {
          output: input.view([6, 6]).slice(1, 3).view([1, 1, 3, 6]),
        }),
      RangeError,
      /overlaps "input"/,
    ],
    ['positions', () => rope.apply(input, { output, positions: [1, 2] } as Loose), RangeError, /./],
    ['positions NaN', () => rope.apply(input, { positions: [0, N, 1] }), RangeError, /"positions\[1\]" is NaN/],
    ['offset', () => rope.apply(input, { offset: N }), RangeError, /"offset" is NaN/],
    ['option', () => rope.apply(input, { position: [1] } as Loose), TypeError, /unknown option "position"/],
    ...notTensors((tensor) => applyRotaryTables(tensor, tables), 'input'),
    ...notTensors((tensor) => applyRotaryTables(input, { ...tables, cos: tensor }), 'cos'),
    ['tables', () => applyRotaryTables(input, { ...tables, sin: float(4, 2) }), RangeError, /"sin" has shape/],
    [
      'wide tables',
      () => applyRotaryTables(input, { cos: float(4, 4), sin: float(4, 4) }),
      RangeError,
      /"cos" has 4 columns/,
    ],
    [
      'rows',
      () => applyRotaryTables(input, tables, { positions: [0, 1, 4] }),
      RangeError,
      /"positions\[2\]" is 4, not a row/,
    ],
    [
      'too few rows',
      () => applyRotaryTables(input, { cos: float(2, 3), sin: float(2, 3) }),
      RangeError,
      /"positions\[2\]" is 2/,
    ],
  ]);
});

describe('sinusoidalEncoding and alibiSlopes', () => {
  const make = (options: Loose) => () => sinusoidalEncoding(runtime, options);
  const [length, dim] = [2, 4];
  refuses([
    ['length', make({ length: -1, dim }), RangeError, /"length" is -1/],
    ['dim 0', make({ length, dim: 0 }), RangeError, /"dim" is 0, not an integer ≥ 1/],
    ['too large', make({ length: 2 ** 40, dim }), RangeError, /memory limit/],
    ['too large to count', make({ length: 2 ** 40, dim: 2 ** 40 }), RangeError, /more elements than/],
    ...[0, -2, N].map((base): Row => [`base ${base}`, make({ length, dim, base }), RangeError, /"base" is/]),
    ['offset', make({ length, dim, offset: Infinity }), RangeError, /"offset" is Infinity/],
    ['layout', make({ length, dim, layout: 'x' }), TypeError, /"layout" must be 'interleaved' or 'concatenated'/],
    ['option', make({ length, dim, max: 1 }), TypeError, /unknown option "max"/],
    ...[0, -1, 1.5, N, undefined].map(
      (heads): Row => [`heads ${heads}`, () => alibiSlopes(heads as Loose), RangeError, /"heads" is/],
    ),
  ]);
});
