// Plain JavaScript and no other import: what a user's process loads.
const shape = [1, 16, 512, 64];
const data = Float32Array.from({ length: 16 * 512 * 64 }, (_, i) => Math.sin(i));

const start = performance.now();
const { createRuntime, scaledDotProductAttention } = await import('wasm-attention');
const runtime = await createRuntime();
const [query, key, value] = [data, data, data].map((values) => runtime.tensor(shape, values));
const call = performance.now();
const output = scaledDotProductAttention(query, key, value);
const end = performance.now();

const warm = [];
for (let n = 0; n < 15; n++) {
  const from = performance.now();
  scaledDotProductAttention(query, key, value, { output });
  warm.push(performance.now() - from);
}
warm.sort((a, b) => a - b);
console.log(JSON.stringify({ total: end - start, first: end - call, warm: warm[7] }));
