import { expect, it } from 'vitest';
import { createRuntimeSync, masks, scaledDotProductAttention } from 'wasm-attention';
import { attention } from 'wasm-attention/reference';
import { expectAccurate, random } from './support.ts';

it('one head of 16,384 queries and keys needs less than 64 MB beside its tensors', () => {
  const [length, dim] = [16_384, 64];
  const runtime = createRuntimeSync();
  const arrays = [1, 2, 3].map((seed) => random([1, 1, length, dim], seed));
  const [query, key, value] = arrays.map(({ shape, data }) => runtime.tensor(shape, data));
  const output = runtime.empty(query.shape);
  const tensorBytes = runtime.memory.usedBytes;
  scaledDotProductAttention(query, key, value, { output });
  expect(runtime.memory.peakBytes - tensorBytes).toBeLessThan(64e6);
  expect(runtime.memory.capacityBytes - tensorBytes).toBeLessThan(64e6);
  expect(runtime.memory.usedBytes).toBe(tensorBytes);

  const rows = [0, 1, 63, 64, 8191, 9000, 16_383];
  const taken = {
    shape: [1, 1, rows.length, dim],
    data: rows.flatMap((i) => [...arrays[0].data.subarray(i * dim, (i + 1) * dim)]),
  };
  const truth = attention(taken, arrays[1], arrays[2]);
  const float32 = attention(taken, arrays[1], arrays[2], { precision: 'float32' });
  const actual = rows.flatMap((i) => [...output.data.subarray(i * dim, (i + 1) * dim)]);
  expectAccurate(actual, truth.output.data, float32.output.data);
});

it.each([
  ['Longformer', () => masks.longformer({ window: 64, globalTokens: [0, 500] })],
  ['dilated', () => masks.dilated({ window: 16, dilation: 4 })],
  ['BigBird', () => masks.bigBird({ blockSize: 32 })],
])('%s needs memory in proportion to the length, and little of it', (_name, mask) => {
  const beyond = [4096, 16_384].map((length) => {
    const runtime = createRuntimeSync();
    const [query, output] = [runtime.zeros([1, 1, length, 4]), runtime.empty([1, 1, length, 4])];
    const tensorBytes = runtime.memory.usedBytes;
    scaledDotProductAttention(query, query, query, { mask: mask(), output });
    return runtime.memory.peakBytes - tensorBytes;
  });
  expect(beyond[1]).toBeLessThan(4.5 * beyond[0]);
  expect(beyond[1]).toBeLessThan(1e6);
});
