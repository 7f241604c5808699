// Plain JavaScript and no other import: what a user's process loads.
const shape = [1, 16, 512, 64];
const data = Float32Array.from({ length: 16 * 512 * 64 }, (_, i) => Math.sin(i));

// As `stopwatch` of clock.ts.
function stopwatch() {
  const cpu = process.cpuUsage();
  const start = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return Math.min(performance.now() - start, (user + system) / 1000);
  };
}

const total = stopwatch();
const { createRuntime, scaledDotProductAttention } = await import('wasm-attention');
const runtime = await createRuntime();
const [query, key, value] = [data, data, data].map((values) => runtime.tensor(shape, values));
const call = stopwatch();
const output = scaledDotProductAttention(query, key, value);
const milliseconds = { total: total(), first: call() };

const warm = [];
for (let n = 0; n < 15; n++) {
  const again = stopwatch();
  scaledDotProductAttention(query, key, value, { output });
  warm.push(again());
}
warm.sort((a, b) => a - b);
console.log(JSON.stringify({ ...milliseconds, warm: warm[7] }));
