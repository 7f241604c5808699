import { ourName } from './contenders/ours.ts';
import type { Measurement, SuiteResult } from './measure.ts';
import { reached } from './reached.ts';
import { flops, keyValueBytes, type Shape } from './shapes.ts';
import { type Estimate, median, ratio } from './statistics.ts';

/** `as reached`: short of the target, but not of `reached`. */
export type Verdict = 'met' | 'within noise' | 'as reached' | 'short' | 'skipped';

export type Outcome = {
  target: string;
  shape?: string;
  sense: '≥' | '≤';
  bound: number;
  /** What was asked for, where the machine does not allow so much. */
  asked?: number;
  unit: 'ratio' | 'share' | 'µs' | 'ms' | 'bytes';
  value?: Estimate;
  verdict: Verdict;
  /** Why it was skipped. */
  reason?: string;
};

/** A ratio, or why there is none; `undefined` where the target does not speak of the shape. */
type Value = Estimate | string | undefined;

export type Target = {
  name: string;
  sense: '≥' | '≤';
  bound: number;
  unit: 'ratio' | 'share';
  value(shape: Shape, suite: SuiteResult): Value;
  /**
   * What the target asks for at most, where the machine itself does not allow more: e.g. 80 % of the FMA peak, if the peak is
   * less than 2.2 / 0.8 times a peer.
   */
  limit?(shape: Shape, suite: SuiteResult): number | undefined;
};

export type Engine = { nodeMajor: number; threads: number };

/** The fastest way of a system on a shape, or why there is none. */
export function best(suite: SuiteResult, shape: string, system: string, way?: string): Measurement | string {
  const all = suite.measurements.filter(
    (m) => m.shape.name === shape && m.system === system && (!way || m.way === way),
  );
  const timed = all.filter(({ seconds }) => seconds.length > 0);
  if (timed.length > 0) return timed.reduce((a, b) => (median(b.seconds) < median(a.seconds) ? b : a));
  const reasons = new Set(all.map(({ fails, doesNotApply }) => fails ?? doesNotApply));
  return [...reasons].join('; ') || `${system} was not measured`;
}

/** `over`'s time divided by `under`'s: how many times as fast `under` is. */
export function timeRatio(over: Measurement | string, under: Measurement | string): Estimate | string {
  if (typeof over === 'string') return over;
  if (typeof under === 'string') return under;
  return ratio(over.seconds, under.seconds);
}

export function peakShare(suite: SuiteResult, shape: Shape, system: string, rate: 'fused' | 'mulAdd' | 'read'): Value {
  const measured = best(suite, shape.name, system);
  if (typeof measured === 'string') return measured;
  const peaks = suite.peaks.map((peak) => peak[rate]).filter((value) => value !== undefined);
  if (peaks.length === 0) return `no peak of ${rate}`;
  const work = rate === 'read' ? keyValueBytes(shape) : flops(shape);
  return ratio(
    measured.seconds.map((seconds) => work / seconds),
    peaks,
  );
}

/** Where 128-bit arithmetic or memory is the limit: shares of it that prefill and decode are held to. */
const PREFILL_SHARE = 0.8;
const DECODE_SHARE = 0.7;

function peakRate(suite: SuiteResult, rate: 'fused' | 'mulAdd' | 'read'): number | undefined {
  const peaks = suite.peaks.map((peak) => peak[rate]).filter((value) => value !== undefined);
  return peaks.length > 0 ? median(peaks) : undefined;
}

/** How many times as fast as a peer a call at `share` of the FMA peak would be. */
function peakTimes(suite: SuiteResult, shape: Shape, system: string, way: string | undefined): number | undefined {
  const peer = best(suite, shape.name, system, way);
  const peak = peakRate(suite, 'fused') ?? peakRate(suite, 'mulAdd');
  if (typeof peer === 'string' || peak === undefined) return undefined;
  return (PREFILL_SHARE * peak * median(peer.seconds)) / flops(shape);
}

/** The share of the read bandwidth at which the arithmetic of a decode call is at its peak: 2 flops a byte for each head of a group of 4. */
function decodeShare(suite: SuiteResult, shape: Shape): number | undefined {
  const [peak, read] = [peakRate(suite, 'fused') ?? peakRate(suite, 'mulAdd'), peakRate(suite, 'read')];
  if (peak === undefined || read === undefined) return undefined;
  return (DECODE_SHARE * peak * keyValueBytes(shape)) / flops(shape) / read;
}

const relaxed = ourName('relaxed');
const simd = ourName('simd');
const isPrefill = ({ kind }: Shape) => kind === 'prefill';
const isDense = (shape: Shape) => isPrefill(shape) && !shape.causal;

/** What this package promises, as ratios within one run. */
export function targets({ nodeMajor, threads }: Engine): Target[] {
  const modern = nodeMajor >= 22;
  const fmaShare = (name: string, bound: number, applies: (shape: Shape) => boolean): Target => ({
    name: `relaxed: ${name}, share of the FMA peak`,
    sense: '≥',
    bound,
    unit: 'share',
    value(shape, suite) {
      if (!isPrefill(shape) || !applies(shape)) return undefined;
      return modern ? peakShare(suite, shape, relaxed, 'fused') : 'relaxed SIMD is behind a flag before Node 22';
    },
  });
  const against = (
    name: string,
    bound: number,
    system: string,
    applies: (shape: Shape) => boolean,
    way?: string,
  ): Target => ({
    name,
    sense: '≥',
    bound,
    unit: 'ratio',
    value(shape, suite) {
      if (!applies(shape)) return undefined;
      return timeRatio(best(suite, shape.name, system, way), best(suite, shape.name, modern ? relaxed : simd));
    },
    limit: (shape, suite) => (isPrefill(shape) ? peakTimes(suite, shape, system, way) : undefined),
  });
  const ofShape = (name: string, bound: number, shapeName: string, other: string): Target => ({
    name,
    sense: '≤',
    bound,
    unit: 'share',
    value(shape, suite) {
      if (shape.name !== shapeName) return undefined;
      const system = modern ? relaxed : simd;
      return timeRatio(best(suite, shapeName, system), best(suite, other, system));
    },
  });
  return [
    fmaShare('headDim 64, 512 and more keys', 0.8, ({ headDim, keys }) => headDim === 64 && keys >= 512),
    fmaShare('headDim 128', 0.85, ({ headDim }) => headDim === 128),
    fmaShare('headDim 40 and 197 tokens', 0.75, ({ headDim, keys }) => headDim === 40 || keys === 197),
    {
      name: 'simd: share of the mul + add peak',
      sense: '≥',
      bound: 0.75,
      unit: 'share',
      value: (shape, suite) => (isPrefill(shape) ? peakShare(suite, shape, simd, 'mulAdd') : undefined),
    },
    against('times onnxruntime-web', modern ? 2.2 : 1.5, 'onnxruntime-web', isPrefill),
    against('times onnxruntime-node, dense', 0.6, 'onnxruntime-node', isDense),
    against(
      'times the Attention of onnxruntime-node, causal, grouped',
      1,
      'onnxruntime-node',
      (shape) => isPrefill(shape) && shape.kvHeads !== shape.heads,
      'Attention',
    ),
    {
      name: 'decode: share of the read bandwidth',
      sense: '≥',
      bound: 0.75,
      unit: 'share',
      value: (shape, suite) =>
        shape.kind === 'decode' ? peakShare(suite, shape, modern ? relaxed : simd, 'read') : undefined,
      limit: (shape, suite) => decodeShare(suite, shape),
    },
    against('decode: times onnxruntime-node', 2.5, 'onnxruntime-node', ({ kind }) => kind === 'decode'),
    ofShape('causal: time of full', 0.55, 'causal 4096', 'full 4096'),
    ofShape('window 1024 of 16384: time of full', 0.09, 'window 1024', 'long 16384'),
    {
      name: '2 threads: times 1 thread, shapes over 5 ms',
      sense: '≥',
      bound: 1.85,
      unit: 'ratio',
      value(shape, suite) {
        const build = modern ? 'relaxed' : 'simd';
        const single = best(suite, shape.name, ourName(build));
        if (typeof single === 'string') return single;
        if (median(single.seconds) < 0.005) return undefined;
        return threads === 2 ? timeRatio(single, best(suite, shape.name, ourName(build, 2))) : 'not run with 2 threads';
      },
    },
  ];
}

/** Short only where even the favourable end of the confidence interval misses the bound. */
export function judge(sense: '≥' | '≤', bound: number, { median, low, high }: Estimate): Verdict {
  const meets = (value: number) => (sense === '≥' ? value >= bound : value <= bound);
  if (meets(median)) return 'met';
  return meets(sense === '≥' ? high : low) ? 'within noise' : 'short';
}

export function evaluate(suites: readonly SuiteResult[], engine: Engine): Outcome[] {
  return targets(engine).flatMap(({ name, sense, bound: asked, unit, value, limit }) =>
    suites.flatMap((suite) =>
      suite.shapes.flatMap((shape): Outcome[] => {
        const found = value(shape, suite);
        if (found === undefined) return [];
        const bound = Math.min(asked, limit?.(shape, suite) ?? asked);
        const outcome = {
          target: name,
          shape: shape.name,
          sense,
          bound,
          asked: bound < asked ? asked : undefined,
          unit,
        };
        if (typeof found === 'string') return [{ ...outcome, verdict: 'skipped', reason: found }];
        const verdict = judge(sense, bound, found);
        const known = reached[name]?.[shape.name];
        const stands = verdict === 'short' && known !== undefined && judge(sense, known, found) !== 'short';
        return [{ ...outcome, value: found, verdict: stands ? 'as reached' : verdict }];
      }),
    ),
  );
}
