import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { scaledDotProductAttention } from 'wasm-attention';
import { attention } from 'wasm-attention/reference';
import { FEW, Model } from './cacheModel.ts';
import { builds, runtimeOf, upload } from './support.ts';

/** Normal values (Box and Muller 1958), the same for the same seed. */
function normal(shape: number[], seed: number) {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  const size = shape.reduce((product, n) => product * n, 1);
  const data = Float32Array.from(
    { length: size },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
  return { shape, data };
}

const rms = (values: Iterable<number>) => Math.sqrt([...values].reduce((sum, x) => sum + x * x, 0));

/** Error of the output relative to it, root mean squares: of what is stored, and what the kernels add. */
const STATED = { float16: { stored: 3.5e-4, kernel: 2e-6 }, int8: { stored: 1e-2, kernel: 5e-5 } };

it('the docstring of KVCache has these numbers', () => {
  const source = readFileSync(new URL('../src/attention/cache.ts', import.meta.url), 'utf8').replaceAll(/\n \* /g, ' ');
  expect(source).toMatch(/is 3\.5e-4 for float16 and 1e-2 for int8/);
  expect(source).toMatch(/16-bit integers, which add 5e-5/);
});

describe.each(builds)('%s', (build) => {
  const runtime = runtimeOf(build);
  const [key, value] = [normal([1, 2, 4096, 128], 1), normal([1, 2, 4096, 128], 2)];

  it.each(['float16', 'int8'] as const)('%s: the error that KVCache states', (dtype) => {
    const model = new Model(runtime, { kvHeads: 2, headDim: 128, maxLength: 4096, dtype });
    model.append(4096, undefined, { key, value });
    for (const group of [1, 4, 9]) {
      const query = normal([1, 2 * group, 1, 128], 3);
      const exact = attention(query, key, value).output.data;
      const rounded = model.reference.attend(query).output.data;
      const ours = runtime.scope(() => scaledDotProductAttention(upload(runtime, query), model.cache).toArray());
      const error = (from: Float64Array) => rms(ours.map((x, i) => x - from[i])) / rms(exact);
      const { stored, kernel } = STATED[dtype];
      expect(error(exact)).toBeLessThanOrEqual(stored);
      expect(error(exact)).toBeGreaterThan(stored / 1.3);
      expect(error(rounded)).toBeLessThanOrEqual(group > FEW ? STATED.float16.kernel : kernel);
    }
    model.cache.dispose();
  });
});
