import { cpus } from 'node:os';
import { type Build, masks } from 'wasm-attention';
import type { Loaded } from './contenders/contender.ts';
import { loadAll } from './contenders/index.ts';
import { linearity } from './linearity.ts';
import { measureSuite, type SuiteResult } from './measure.ts';
import { nodeMajor, type Options } from './options.ts';
import { callOverhead } from './overhead.ts';
import { peakProbe } from './peak/peak.ts';
import type { Machine, Report } from './report/report.ts';
import { outcomesText, suiteText } from './report/text.ts';
import { responsiveness } from './responsive.ts';
import { flops } from './shapes.ts';
import { planPredictions, sparseLinearity } from './sparse.ts';
import { startup } from './startup.ts';
import { type Estimate, median } from './statistics.ts';
import { evaluate, judge, type Outcome } from './targets.ts';

/** Measures everything that the options ask for, and tells it as it goes. */
export async function run(options: Options): Promise<Report> {
  const started = performance.now();
  const { builds, budget, quick } = options;
  const loaded = await loadAll(builds, options.threads, options.peers);

  const machine = thisMachine(builds);
  tellMachine(machine, quick, loaded);

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

  const outcomes = evaluate(results, { nodeMajor, threads: options.threads });
  const overhead = await callOverhead(builds[0]);
  const start = startup(options.processes);
  outcomes.push(...(await absoluteOutcomes(builds[0], overhead, start)));
  console.log(outcomesText(outcomes));

  const seconds = (performance.now() - started) / 1000;
  console.log(`\n${seconds.toFixed(0)} s`);
  return {
    machine,
    quick,
    seconds,
    systems: loaded.map(({ system, version, fails }) => ({ system, version, fails })),
    suites: results.map((suite) => ({
      ...suite,
      measurements: suite.measurements.map((m) => ({
        ...m,
        flops: flops(m.shape),
        gflops: m.seconds.length > 0 ? flops(m.shape) / median(m.seconds) / 1e9 : undefined,
      })),
    })),
    overhead,
    startup: start,
    outcomes,
  };
}

function thisMachine(builds: Build[]): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    logicalCores: cpus().length,
    architecture: process.arch,
    platform: process.platform,
    node: process.versions.node,
    v8: process.versions.v8,
    date: new Date().toISOString(),
    builds,
  };
}

function tellMachine(machine: Machine, quick: boolean, loaded: readonly Loaded[]): void {
  console.log(`wasm-attention bench${quick ? ', quick' : ''}, ${machine.date.slice(0, 10)}
${machine.cpu} (${machine.logicalCores} logical cores), ${machine.platform} ${machine.architecture}
Node ${machine.node} (V8 ${machine.v8}); float32, one thread unless said
A peer's call includes the copy of its result. Memory: ours beyond the tensors; onnxruntime-web's whole heap, which never shrinks.`);
  for (const { system, version, fails } of loaded) {
    if (fails) console.log(`${system}: fails: ${fails}`);
    else console.log(`${system}${version ? ` ${version}` : ''}`);
  }
  console.log();
}

/** What is not measured against a peer or the peak. */
async function absoluteOutcomes(
  build: Build,
  overhead: Awaited<ReturnType<typeof callOverhead>>,
  start: ReturnType<typeof startup>,
): Promise<Outcome[]> {
  const atMost = (target: string, bound: number, unit: Outcome['unit'], value: Estimate): Outcome => ({
    target,
    sense: '≤',
    bound,
    unit,
    value,
    verdict: judge('≤', bound, value),
  });
  const outcomes = [
    atMost('a call outside its kernel', 5, 'µs', overhead.microseconds),
    atMost('garbage of a call', 0, 'bytes', overhead.heapBytes),
    atMost('import to first result, BERT-large', 40, 'ms', start.importToResult),
    atMost('first call: times a warm one', 2, 'ratio', start.firstOverWarm),
    atMost('linear attention: time per token, 65,536 over 4,096 tokens', 1.3, 'ratio', await linearity(build)),
  ];
  for (const [name, pattern] of [
    ['Longformer, window 512', () => masks.longformer({ window: 512, globalTokens: [0] })],
    ['BigBird, blocks of 64', () => masks.bigBird()],
  ] as const) {
    const found = await sparseLinearity(build, pattern);
    outcomes.push(atMost(`${name}: time per token, 65,536 over 4,096 tokens`, 1.3, 'ratio', found));
  }
  for (const [name, { median, low, high }] of await planPredictions(build)) {
    // Of both directions the worse.
    const off = median >= 1 ? { median, low, high } : { median: 1 / median, low: 1 / high, high: 1 / low };
    outcomes.push(atMost(`${name}: measured time and its plan's apart`, 1.2, 'ratio', off));
  }
  const responsive = await responsiveness(build);
  outcomes.push(
    atMost('asynchronous form, causal 16,384: times the other', 1.1, 'ratio', responsive.overhead),
    atMost('asynchronous form: longest time between turns', 16, 'ms', responsive.longest),
  );
  return outcomes;
}
