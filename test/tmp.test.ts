import { it } from 'vitest';
import { createRuntimeSync, favorFeatures, linearAttention, scaledDotProductAttention } from 'wasm-attention';
import { random, upload } from './support.ts';
it('x', () => {
  const runtime = createRuntimeSync();
  for (const range of [0.5, 0.75, 1, 1.5]) {
    const [query, key, value] = [1, 2, 3].map((seed) => upload(runtime, random([1, 8, 100, 16], seed, seed === 3 ? 1 : range)));
    value.data.forEach((_, i) => { value.data[i] += 1; });
    for (const orthogonal of [true, false]) console.log(range, orthogonal, [16, 64, 256, 1024, 4096].map((features) => {
      const featureMap = favorFeatures({ headDim: 16, features, seed: 3, orthogonal });
      return [false, true].map((causal) => {
        const exact = scaledDotProductAttention(query, key, value, { causal }).toArray();
        const near = linearAttention(query, key, value, { featureMap, causal }).toArray();
        const squares = near.reduce((sum, x, i) => sum + (x - exact[i]) ** 2, 0);
        return Math.sqrt(squares / exact.reduce((sum, x) => sum + x ** 2, 0)).toFixed(4);
      }).join(' ');
    }));
  }
});
