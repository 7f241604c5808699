import { describe } from 'vitest';
import {
  addPositions,
  alibiSlopes,
  applyRotaryTables,
  MixedRotaryEmbedding,
  RotaryEmbedding,
  relativePositionBias,
  sinusoidalEncoding,
} from 'wasm-attention';
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

describe('MixedRotaryEmbedding', () => {
  const input = float(1, 2, 3, 4);
  const good = { headDim: 4, heads: 2, frequencies: [1, 2, 3, 4, 5, 6, 7, 8] };
  const make = (options: Loose) => () => new MixedRotaryEmbedding(runtime, { ...good, ...options });
  const rotary = make({})();
  const apply = (options: Loose) => () => rotary.apply(input, options);
  const positions = [0, 1, 2, 3, 4, 5];
  refuses([
    ['headDim odd', make({ headDim: 3 }), RangeError, /"headDim" is 3, not even/],
    ['headDim 0', make({ headDim: 0 }), RangeError, /"headDim" is 0, not an integer ≥ 2/],
    ['heads 0', make({ heads: 0 }), RangeError, /"heads" is 0/],
    ['heads 3', make({ heads: 3 }), RangeError, /"frequencies" has 8 entries, but 6 an axis are needed/],
    ['no frequencies', make({ frequencies: [] }), RangeError, /"frequencies" has 0 entries, but 4 an axis/],
    ['frequencies undefined', make({ frequencies: undefined }), RangeError, /"frequencies" has undefined entries/],
    ['frequencies NaN', make({ frequencies: [1, 2, N, 4] }), RangeError, /"frequencies\[2\]" is NaN/],
    ['style', make({ style: 'gptj' }), TypeError, /"style" must be 'half' or 'interleaved'/],
    ['base', make({ base: 10 }), TypeError, /unknown option "base"/],
    ...notTensors((tensor) => rotary.apply(tensor, { positions }), 'input'),
    ofOther((tensor) => rotary.apply(tensor, { positions }), 'input'),
    ['no options', apply(undefined), TypeError, /"options" must be an object/],
    ['no positions', apply({}), TypeError, /"positions" must be an array of positions/],
    ['positions of one axis', apply({ positions: [0, 1, 2] }), RangeError, /"positions" has 3 entries, but 6 or 6/],
    ['positions NaN', apply({ positions: [0, 1, 2, N, 4, 5] }), RangeError, /"positions\[3\]" is NaN/],
    ['layout', apply({ positions, layout: 'sbhd' }), TypeError, /"layout" must be/],
    ['heads of input', apply({ positions, layout: 'bshd' }), RangeError, /"input" has 3 heads, but .* for 2/],
    ['headDim of input', () => rotary.apply(float(1, 2, 3, 6), { positions }), RangeError, /"input" has headDim 6/],
    ['output', apply({ positions, output: float(1, 2, 3, 6) }), RangeError, /"output" has shape/],
    ['offset', apply({ positions, offset: 1 }), TypeError, /unknown option "offset"/],
  ]);
});

describe('RotaryEmbedding on axes and with xPos', () => {
  const input = float(1, 2, 3, 6);
  const axes = (options: Loose) => () => new RotaryEmbedding(runtime, { headDim: 6, axes: options });
  const xpos = (options: Loose) => () => new RotaryEmbedding(runtime, { headDim: 6, xpos: options });
  const three = new RotaryEmbedding(runtime, { headDim: 6, axes: { sections: [1, 1, 1] } });
  const decaying = new RotaryEmbedding(runtime, { headDim: 6, xpos: {} });
  refuses([
    ['axes null', axes(null), TypeError, /"options" must be an object/],
    ['axes.section', axes({ section: [3] }), TypeError, /unknown option "section"/],
    ['no sections', axes({}), TypeError, /"axes.sections" must be an array/],
    ['sections 0', axes({ sections: [3, 0] }), RangeError, /"axes.sections\[1\]" is 0, not an integer ≥ 1/],
    ['sections of 2', axes({ sections: [1, 1] }), RangeError, /"axes.sections" is \[1,1\], but together .* 3 pairs/],
    ['arrangement', axes({ sections: [3], arrangement: 'x' }), TypeError, /"axes.arrangement" must be 'chunked'/],
    [
      'sections that cannot be interleaved',
      axes({ sections: [1, 2], arrangement: 'interleaved' }),
      RangeError,
      /cannot be interleaved: the first is too short/,
    ],
    ['positions of one axis', () => three.apply(input, { positions: [1, 2, 3] }), RangeError, /but 9 or 9 are needed/],
    ['xpos null', xpos(null), TypeError, /"options" must be an object/],
    ['xpos scale', xpos({ scale: 1 }), TypeError, /unknown option "scale"/],
    ['xpos.scaleBase', xpos({ scaleBase: 0 }), RangeError, /"xpos.scaleBase" is 0/],
    ['xpos.center', xpos({ center: N }), RangeError, /"xpos.center" is NaN/],
    [
      'xpos on axes',
      () => new RotaryEmbedding(runtime, { headDim: 6, xpos: {}, axes: { sections: [3] } }),
      RangeError,
      /"xpos" is for one axis/,
    ],
    ['xpos without role', () => decaying.apply(input), TypeError, /"role" must be 'query' or 'key', .* undefined/],
    ['role', () => three.apply(input, { role: 'value' as Loose }), TypeError, /"role" must be/],
  ]);
});

describe('relativePositionBias', () => {
  const table = float(8, 2);
  const make = (options: Loose) => () => relativePositionBias(table, options);
  const sizes = { queries: 3, keys: 4 };
  refuses([
    ...notTensors((tensor) => relativePositionBias(tensor, sizes), 'table'),
    ['rank', () => relativePositionBias(float(8), sizes), RangeError, /"table" has rank 1/],
    ['odd', () => relativePositionBias(float(7, 2), sizes), RangeError, /has 7 buckets, but an even number ≥ 4/],
    ['2 buckets', () => relativePositionBias(float(2, 2), sizes), RangeError, /has 2 buckets, but an even/],
    [
      '1 bucket',
      () => relativePositionBias(float(1, 2), { ...sizes, bidirectional: false }),
      RangeError,
      /has 1 buckets, but at least 2 are/,
    ],
    ['options', make(undefined), TypeError, /"options" must be an object/],
    ['queries', make({ keys: 3 }), RangeError, /"queries" is undefined/],
    ['keys', make({ queries: 3, keys: -1 }), RangeError, /"keys" is -1/],
    ['too large', make({ queries: 2 ** 20, keys: 2 ** 20 }), RangeError, /memory limit/],
    ['maxDistance', make({ ...sizes, maxDistance: 2 }), RangeError, /"maxDistance" is 2, not an integer ≥ 3/],
    ['bidirectional', make({ ...sizes, bidirectional: 1 }), TypeError, /"bidirectional" must be true or false/],
    ['queryOffset', make({ ...sizes, queryOffset: N }), RangeError, /"queryOffset" is NaN/],
    ['numBuckets', make({ ...sizes, numBuckets: 8 }), TypeError, /unknown option "numBuckets"/],
  ]);
});

describe('addPositions', () => {
  const [input, table] = [float(1, 6, 6), float(7, 6)];
  const target = output.view([1, 6, 6]);
  const add = (options: Loose) => () => addPositions(input, table, { output: target, ...options });
  refuses([
    ...notTensors((tensor) => addPositions(tensor, table, { output: target }), 'input'),
    ...notTensors((tensor) => addPositions(input, tensor, { output: target }), 'table'),
    ofOther((tensor) => addPositions(input, tensor), 'table'),
    ['rank', () => addPositions(float(6, 6), table), RangeError, /"input" has rank 2/],
    ['dim', () => addPositions(input, float(7, 5)), RangeError, /"table" has shape \[7,5\], but \[7,6\]/],
    ['offset', add({ offset: -1 }), RangeError, /"offset" is -1/],
    ['offset beyond', add({ offset: 2 }), RangeError, /"offset" gives 7, not a row of the table \(7\)/],
    ['positions', add({ positions: [1] }), RangeError, /"positions" has 1 entries, but 6 or 6/],
    ['a position', add({ positions: [0, 1, 2, 3, 4, 0.5] }), RangeError, /"positions\[5\]" gives 0.5/],
    ['output', () => addPositions(input, table, { output: float(1, 6, 5) }), RangeError, /"output" has shape/],
    [
      'output over the table',
      () => addPositions(input, table, { output: table.slice(1, 6).view([1, 6, 6]) }),
      RangeError,
      /"output" overlaps an input/,
    ],
    ['option', add({ position: 1 }), TypeError, /unknown option "position"/],
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
