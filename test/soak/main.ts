import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import fc from 'fast-check';
import { expectFlat, measure, type Sample, table } from './memory.ts';
import { churn } from './pools.ts';
import { kinds, runtimeFor } from './runtimes.ts';
import { Tester } from './tester.ts';

// Before the first module is compiled: Node 20 has relaxed SIMD behind a flag.
if (Number(process.versions.node.split('.')[0]) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    pools: { type: 'string', default: '1000' },
  },
});
const [calls, seed, pools] = [values.calls, values.seed, values.pools].map(Number);
if (![calls, seed, pools].every(Number.isSafeInteger))
  throw new Error('soak: --calls, --seed and --pools are integers');

console.log(`${calls} calls, seed ${seed}`);
const tester = new Tester(await Promise.all(kinds.map((kind) => runtimeFor(kind))));
const samples: Sample[] = [await measure(tester.runtimes, 0)];
const part = Math.max(Math.floor(calls / 10), 1);
let done = 0;
await fc.assert(
  fc.asyncProperty(fc.gen(), async (draw) => {
    await tester.call(draw);
    if (++done % part !== 0) return;
    const sample = await measure(tester.runtimes, done);
    samples.push(sample);
    console.log(`${((100 * done) / calls).toFixed(0)} % in ${(sample.milliseconds / 1000).toFixed(0)} s`);
  }),
  { numRuns: calls, seed },
);
console.log(table([...tester.counts].sort().map(([name, counts]) => ({ call: name, ...counts }))));
const { milliseconds, call } = tester.slowest;
console.log(`the slowest call took ${milliseconds.toFixed(0)} ms: ${call}`);
console.log(table(samples.map(({ milliseconds: _, ...sample }) => sample)));
expectFlat(samples);
for (const runtime of tester.runtimes) runtime.dispose();

if (pools > 0) console.log(table(await churn(pools)));
