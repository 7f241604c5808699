import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { masks } from 'wasm-attention';
import { loadAll } from './contenders/index.ts';
import { linearity } from './linearity.ts';
import { measureSuite, type SuiteResult } from './measure.ts';
import { nodeMajor, readOptions } from './options.ts';
import { callOverhead } from './overhead.ts';
import { peakProbe } from './peak/peak.ts';
import { outcomesText, suiteText } from './report/text.ts';
import { responsiveness } from './responsive.ts';
import { flops } from './shapes.ts';
import { planPredictions, sparseLinearity } from './sparse.ts';
import { startup } from './startup.ts';
import { median } from './statistics.ts';
import { evaluate, judge, type Outcome } from './targets.ts';

const started = performance.now();
const options = readOptions(process.argv.slice(2));
const { builds, budget, quick } = options;
const loaded = await loadAll(builds, options.threads, options.peers);

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  logicalCores: cpus().length,
  architecture: process.arch,
  platform: process.platform,
  node: process.versions.node,
  v8: process.versions.v8,
  date: new Date().toISOString(),
  builds,
};
console.log(`wasm-attention bench${quick ? ', quick' : ''}, ${machine.date.slice(0, 10)}
${machine.cpu} (${machine.logicalCores} logical cores), ${machine.platform} ${machine.architecture}
Node ${machine.node} (V8 ${machine.v8}); float32, one thread unless said
A peer's call includes the copy of its result. Memory: ours beyond the tensors; onnxruntime-web's whole heap, which never shrinks.`);
for (const { system, version, fails } of loaded) {
  if (fails) console.log(`${system}: fails: ${fails}`);
  else console.log(`${system}${version ? ` ${version}` : ''}`);
}
console.log();

const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};
const probe = peakProbe(builds[0]);
const results: SuiteResult[] = [];
for (const shapes of options.suites) {
  const { peerShapes } = options;
  const contenders = loaded
    .filter(({ system }) => system.startsWith('wasm-attention') || !peerShapes || peerShapes.includes(shapes[0].name))
    .flatMap((one) => one.contenders);
  const result = await measureSuite(shapes, contenders, probe, budget, progress);
  progress('');
  results.push(result);
  console.log(suiteText(result));
}

const outcomes: Outcome[] = evaluate(results, { nodeMajor, threads: options.threads });
const overhead = await callOverhead(builds[0]);
const start = startup(options.processes);
const absolute = (target: string, bound: number, unit: Outcome['unit'], value: Outcome['value']): void => {
  outcomes.push({ target, sense: '≤', bound, unit, value, verdict: judge('≤', bound, value!) });
};
absolute('a call outside its kernel', 5, 'µs', overhead.microseconds);
absolute('garbage of a call', 0, 'bytes', overhead.heapBytes);
absolute('import to first result, BERT-large', 40, 'ms', start.importToResult);
absolute('first call: times a warm one', 2, 'ratio', start.firstOverWarm);
absolute('linear attention: time per token, 65,536 over 4,096 tokens', 1.3, 'ratio', await linearity(builds[0]));
for (const [name, pattern] of [
  ['Longformer, window 512', () => masks.longformer({ window: 512, globalTokens: [0] })],
  ['BigBird, blocks of 64', () => masks.bigBird()],
] as const) {
  const found = await sparseLinearity(builds[0], pattern);
  absolute(`${name}: time per token, 65,536 over 4,096 tokens`, 1.3, 'ratio', found);
}
for (const [name, { median, low, high }] of await planPredictions(builds[0])) {
  // Of both directions the worse.
  const off = median >= 1 ? { median, low, high } : { median: 1 / median, low: 1 / high, high: 1 / low };
  absolute(`${name}: measured time and its plan's apart`, 1.2, 'ratio', off);
}
const responsive = await responsiveness(builds[0]);
absolute('asynchronous form, causal 16,384: times the other', 1.1, 'ratio', responsive.overhead);
absolute('asynchronous form: longest time between turns', 16, 'ms', responsive.longest);
console.log(outcomesText(outcomes));

const seconds = (performance.now() - started) / 1000;
console.log(`\n${seconds.toFixed(0)} s`);
const report = {
  machine,
  quick,
  seconds,
  systems: loaded.map(({ system, version, fails }) => ({ system, version, fails })),
  suites: results.map(({ measurements, peaks, coreShare }) => ({
    peaks,
    coreShare,
    measurements: measurements.map((m) => ({
      ...m,
      flops: flops(m.shape),
      gflops: m.seconds.length > 0 ? flops(m.shape) / median(m.seconds) / 1e9 : undefined,
    })),
  })),
  overhead,
  startup: start,
  outcomes,
};
writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
if (options.svg) {
  const { chart } = await import('./report/chart.ts');
  const subtitle = [`${machine.cpu}, Node ${machine.node}, ${machine.date.slice(0, 10)}; the fastest operator of each`];
  mkdirSync(dirname(options.svg), { recursive: true });
  writeFileSync(options.svg, await chart(results, subtitle));
}

// Absolute times depend on the machine: they are told, but only a ratio decides.
const missed = outcomes.filter(({ verdict, unit }) => verdict === 'short' && (unit === 'ratio' || unit === 'share'));
if (quick && missed.length > 0) {
  console.error(`bench: ${missed.length} of ${outcomes.length} targets fall short by more than noise`);
  process.exitCode = 1;
}
