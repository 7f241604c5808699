import { cpuSeconds, stopwatch } from './clock.ts';
import { type Contender, DoesNotApply, type Prepared, reason } from './contenders/contender.ts';
import { errorOfRows, type Inputs, inputs, worst } from './data.ts';
import type { Peak } from './peak/peak.ts';
import type { Shape } from './shapes.ts';

export type Measurement = {
  shape: Shape;
  system: string;
  way: string;
  /** Of one call, one number a round. Empty where it did not run. */
  seconds: number[];
  /** Its largest difference: ours from the float64 reference, a peer's from ours. */
  error?: number;
  memoryBytes?: number;
  /** Why there is no time. */
  fails?: string;
  doesNotApply?: string;
};

export type SuiteResult = {
  shapes: Shape[];
  measurements: Measurement[];
  /** One a round. */
  peaks: Peak[];
  /** CPU time over wall time: less than 1 where other processes had the core. */
  coreShare: number;
};

export type Budget = { seconds: number; rounds: number };

/** Values lie in [−2, 2); float32 sums of 16384 terms differ by less than this. */
const OUR_ERROR = 1e-5;
const PEER_ERROR = 1e-4;
const LEAST_ROUNDS = 3;
const SAMPLE_SECONDS = 0.004;
const WARM_UP_SECONDS = 0.15;
/** Calls shorter than this are timed behind one that is not: it finds the caches as the neighbours left them. */
const SHORT_SECONDS = 0.05;

type Entry = { measurement: Measurement; prepared: Prepared; calls: number; short: boolean };

/** Checks the contenders' results against each other, then times them round by round, with the peak in every round. */
export async function measureSuite(
  shapes: readonly Shape[],
  contenders: readonly Contender[],
  probe: (withRead: boolean) => Peak,
  budget: Budget,
  progress: (text: string) => void,
): Promise<SuiteResult> {
  const measurements: Measurement[] = [];
  const entries: Entry[] = [];
  for (const shape of shapes) {
    const data = inputs(shape);
    let truth: Float32Array | undefined;
    for (const contender of contenders) {
      progress(`${shape.name}: ${contender.system} ${contender.way}`);
      const measurement: Measurement = { shape, system: contender.system, way: contender.way, seconds: [] };
      measurements.push(measurement);
      let prepared: Prepared;
      let first: number;
      try {
        prepared = await contender.prepare(shape, data);
        first = await time(prepared, 1);
      } catch (error) {
        if (error instanceof DoesNotApply) measurement.doesNotApply = error.message;
        else measurement.fails = reason(error);
        continue;
      }
      const output = prepared.output();
      measurement.error = check(shape, contender, data, output, truth);
      truth ??= output.slice();
      if (first > budget.seconds / 8 && !contender.system.startsWith('wasm-attention')) {
        measurement.seconds = [first];
        measurement.memoryBytes = prepared.memoryBytes?.();
        await prepared.release();
        continue;
      }
      const seconds = await warmUp(prepared);
      entries.push({
        measurement,
        prepared,
        calls: Math.ceil(SAMPLE_SECONDS / seconds),
        short: seconds < SHORT_SECONDS,
      });
    }
  }
  const rounds = await interleave(entries, shapes, probe, budget, progress);
  for (const { measurement, prepared } of entries) {
    measurement.memoryBytes = prepared.memoryBytes?.();
    await prepared.release();
  }
  return { shapes: [...shapes], measurements, ...rounds };
}

/** @throws Error where a result is wrong: then no time means anything. */
function check(shape: Shape, { system, way }: Contender, data: Inputs, output: Float32Array, truth?: Float32Array) {
  const error = truth ? worst(truth, output) : errorOfRows(shape, data, output);
  const bound = truth ? PEER_ERROR : OUR_ERROR;
  if (!(error <= bound)) {
    throw new Error(`${shape.name}: ${system} ${way} differs from ${truth ? 'ours' : 'the reference'} by ${error}`);
  }
  return error;
}

/** Until the engine has its optimized code; gives the seconds of the last call. */
async function warmUp(prepared: Prepared): Promise<number> {
  const start = performance.now();
  for (;;) {
    const seconds = await time(prepared, 1);
    if (performance.now() - start > WARM_UP_SECONDS * 1000) return seconds;
  }
}

/** Seconds of a call. */
async function time({ run }: Prepared, calls: number): Promise<number> {
  const elapsed = stopwatch();
  for (let call = 0; call < calls; call++) {
    const pending = run();
    if (pending) await pending;
  }
  return elapsed() / calls;
}

/** Rounds until the budget is spent. */
async function interleave(
  entries: readonly Entry[],
  shapes: readonly Shape[],
  probe: (withRead: boolean) => Peak,
  budget: Budget,
  progress: (text: string) => void,
): Promise<Pick<SuiteResult, 'peaks' | 'coreShare'>> {
  const withRead = shapes.some(({ kind }) => kind === 'decode');
  const peaks: Peak[] = [];
  const start = performance.now();
  const cpu = process.cpuUsage();
  for (let round = 0; round < budget.rounds; round++) {
    if (round >= LEAST_ROUNDS && performance.now() - start > budget.seconds * 1000) break;
    progress(`${shapes.map(({ name }) => name).join(', ')}: round ${round + 1}`);
    peaks.push(probe(withRead));
    // Another order in every round: nobody always runs behind the same neighbour.
    for (let turn = 0; turn < entries.length; turn++) {
      const { measurement, prepared, calls, short } = entries[(turn + round) % entries.length];
      // Nobody pays for a neighbour's garbage: results of 33 MB made the next call 4 times as slow. A short call leaves
      // little, and is itself 2 times as slow behind a full collection.
      if (calls === 1) globalThis.gc?.();
      // Behind a collection V8's own threads sweep for a moment: 2 threads were 1.66 instead of 1.98 times as fast as one.
      if (short) await time(prepared, 1);
      measurement.seconds.push(await time(prepared, calls));
    }
  }
  return { peaks, coreShare: cpuSeconds(cpu) / ((performance.now() - start) / 1000) };
}
