import {
  addPositions,
  alibiSlopes,
  applyRotaryTables,
  RotaryEmbedding,
  type RotaryEmbeddingOptions,
  type RotaryScaling,
  relativePositionBias,
  resizePositions,
  sinusoidalEncoding,
  type Tensor,
} from 'wasm-attention';
import {
  alibiSlopes as alibiReference,
  type RotaryOptions,
  relativePositionBias as relativeReference,
  resizeGrid,
  rotaryEmbedding,
  rotaryTable,
  sinusoidalEncoding as sinusoidalReference,
} from 'wasm-attention/reference';
import type { Choice } from './choice.ts';
import { expectClose, type Operation } from './trial.ts';

const scaling = (pick: Choice): RotaryScaling =>
  pick.one<RotaryScaling>(
    { type: 'linear', factor: 2 },
    { type: 'ntk', factor: 4 },
    { type: 'yarn', factor: 4, originalMaxPosition: 64 },
    { type: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPosition: 64 },
  );

const rotate: Operation = (inputs, pick) => {
  const [batch, heads, length] = [pick.integer(1, 2), pick.integer(1, 3), pick.size(9, 40, 0)];
  const rotaryDim = 2 * pick.size(6, 40);
  const headDim = rotaryDim + pick.one(0, 0, 1, 7);
  const layout = pick.one('bhsd' as const, 'bshd' as const);
  const style = pick.one('half' as const, 'interleaved' as const);
  const x = inputs.random(layout === 'bhsd' ? [batch, heads, length, headDim] : [batch, length, heads, headDim]);
  const xpos = pick.maybe(() => ({ scaleBase: 512 }));
  const role = xpos && pick.one('query' as const, 'key' as const);
  const embedding: RotaryEmbeddingOptions = {
    headDim,
    rotaryDim,
    style,
    base: pick.one(100, 10000),
    scaling: rotaryDim > 4 ? pick.maybe(() => scaling(pick)) : undefined,
    xpos,
  };
  const positions = pick.maybe(() => pick.list(pick.chance() ? length : batch * length, 0, 500));
  const offset = positions ? undefined : pick.integer(0, 500);
  const tensor = inputs.upload(x);
  const output = pick.maybe(() => inputs.upload(inputs.random(x.shape)));
  const { headDim: _, ...plain } = embedding;
  const truth: RotaryOptions = {
    ...plain,
    layout,
    offset,
    role,
    positions: positions && { shape: [positions.length === length ? 1 : batch, length], data: positions },
  };
  return {
    args: [embedding, tensor, { layout, offset, positions, role, output }],
    call: (options, input, given) => new RotaryEmbedding(inputs.runtime, options).apply(input, given),
    check: (found: Tensor) => expectClose(found.data, rotaryEmbedding(x, truth).data),
    writes: [output ?? tensor],
  };
};

const byTables: Operation = (inputs, pick) => {
  const [batch, heads, length, rows] = [pick.integer(1, 2), pick.integer(1, 3), pick.size(9, 40, 0), 50];
  const pairs = pick.integer(1, 8);
  const headDim = 2 * pairs + pick.one(0, 3);
  const x = inputs.random([batch, heads, length, headDim]);
  const style = pick.one('half' as const, 'interleaved' as const);
  const positions = pick.list(batch * length, 0, rows - 1);
  const tables = rotaryTable(
    Array.from({ length: rows }, (_, i) => i),
    { rotaryDim: 2 * pairs, precision: 'float32' },
  );
  const tensor = inputs.upload(x);
  const truth: RotaryOptions = { rotaryDim: 2 * pairs, style, positions: { shape: [batch, length], data: positions } };
  return {
    args: [tensor, { cos: inputs.upload(tables.cos), sin: inputs.upload(tables.sin) }, { positions, style }],
    call: applyRotaryTables,
    check: (found: Tensor) => expectClose(found.data, rotaryEmbedding(x, truth).data),
    writes: [tensor],
  };
};

const sinusoidal: Operation = (inputs, pick) => {
  const options = {
    length: pick.size(20, 70, 0),
    dim: pick.size(12, 70),
    layout: pick.one('interleaved' as const, 'concatenated' as const),
    offset: pick.integer(0, 100),
  };
  return {
    args: [options],
    call: (given) => sinusoidalEncoding(inputs.runtime, given),
    check: (found: Tensor) => expectClose(found.data, sinusoidalReference(options).data),
  };
};

const learned: Operation = (inputs, pick) => {
  const [batch, length, dim, rows] = [pick.integer(1, 2), pick.integer(0, 12), pick.integer(1, 12), 20];
  const [x, table] = [inputs.random([batch, length, dim]), inputs.random([rows, dim])];
  const positions = pick.list(batch * length, 0, rows - 1);
  const tensor = inputs.upload(x);
  return {
    args: [tensor, inputs.upload(table), { positions }],
    call: addPositions,
    check: (found: Tensor) =>
      expectClose(
        found.data,
        x.data.map((value, at) => value + table.data[positions[Math.floor(at / dim)] * dim + (at % dim)]),
      ),
    writes: [tensor],
  };
};

const relative: Operation = (inputs, pick) => {
  const table = inputs.random([2 * pick.integer(4, 16), pick.integer(1, 4)]);
  const options = {
    queries: pick.size(12, 40, 0),
    keys: pick.size(12, 40, 0),
    bidirectional: pick.chance(),
    maxDistance: pick.integer(40, 200),
  };
  return {
    args: [inputs.upload(table), options],
    call: relativePositionBias,
    check: (found: Tensor) => expectClose(found.data, relativeReference(table, options).data),
  };
};

const resize: Operation = (inputs, pick) => {
  const [from, to] = [pick.list(2, 1, 6), pick.list(2, 1, 6)];
  const table = inputs.random([from[0] * from[1], pick.integer(1, 8)]);
  const antialias = pick.chance();
  return {
    args: [inputs.upload(table), { from, to, antialias }],
    call: resizePositions,
    check: (found: Tensor) => expectClose(found.data, resizeGrid(table, from, to, antialias).data),
  };
};

const slopes: Operation = (_inputs, pick) => {
  const heads = pick.integer(1, 40);
  return {
    args: [heads],
    call: alibiSlopes,
    check: (found: Float32Array) => expectClose(found, alibiReference(heads)),
  };
};

export const positionOperations: Record<string, Operation> = {
  'RotaryEmbedding.apply': rotate,
  applyRotaryTables: byTables,
  sinusoidalEncoding: sinusoidal,
  addPositions: learned,
  relativePositionBias: relative,
  resizePositions: resize,
  alibiSlopes: slopes,
};
