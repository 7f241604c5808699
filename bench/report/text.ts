import type { Measurement, SuiteResult } from '../measure.ts';
import type { Peak } from '../peak/peak.ts';
import { flops, keyValueBytes, sizes } from '../shapes.ts';
import { median } from '../statistics.ts';
import type { Outcome } from '../targets.ts';
import { table } from './table.ts';

const giga = (value: number) => (value / 1e9).toFixed(1);
const percent = (value: number) => `${(value * 100).toFixed(0)} %`;
const milliseconds = (seconds: number) => {
  const ms = seconds * 1000;
  return ms < 10 ? ms.toFixed(3) : ms.toFixed(1);
};

function medianPeak(peaks: readonly Peak[], rate: keyof Peak): number | undefined {
  const values = peaks.map((peak) => peak[rate]).filter((value) => value !== undefined);
  return values.length ? median(values) : undefined;
}

function cells(
  { shape, system, way, seconds, memoryBytes, fails, doesNotApply }: Measurement,
  peaks: Peak[],
): string[] {
  const name = [system, way];
  if (seconds.length === 0) return [...name, fails ? `fails: ${fails}` : `– ${doesNotApply}`];
  const middle = median(seconds);
  const peak = medianPeak(peaks, 'fused') ?? medianPeak(peaks, 'mulAdd')!;
  const read = medianPeak(peaks, 'read');
  return [
    ...name,
    milliseconds(middle),
    seconds.length > 1 ? `${milliseconds(Math.min(...seconds))} – ${milliseconds(Math.max(...seconds))}` : 'one call',
    giga(flops(shape) / middle),
    percent(flops(shape) / middle / peak),
    read ? percent(keyValueBytes(shape) / middle / read) : '',
    memoryBytes === undefined ? '' : `${(memoryBytes / 2 ** 20).toFixed(memoryBytes < 2 ** 24 ? 2 : 0)} MiB`,
  ];
}

export function suiteText({ shapes, measurements, peaks, coreShare }: SuiteResult): string {
  const rates = [
    `FMA ${peaks[0]?.fused ? giga(medianPeak(peaks, 'fused')!) : '–'}`,
    `mul + add ${giga(medianPeak(peaks, 'mulAdd')!)} GFLOP/s`,
    ...(peaks[0]?.read ? [`read ${giga(medianPeak(peaks, 'read')!)} GB/s`] : []),
  ];
  const rounds = `${peaks.length} rounds${coreShare < 0.95 ? ` on ${percent(coreShare)} of a core` : ''}`;
  return shapes
    .map((shape) => {
      const rows = measurements.filter((m) => m.shape === shape).map((m) => cells(m, peaks));
      const head = ['', '', 'ms', 'min – max', 'GFLOP/s', 'peak', 'read', 'memory'];
      return `${shape.name}: ${sizes(shape)} (${rounds}; ${rates.join(', ')})\n${table([head, ...rows], 2)}\n`;
    })
    .join('\n');
}

export function outcomesText(outcomes: readonly Outcome[]): string {
  const number = (value: number, unit: Outcome['unit']) => {
    if (unit === 'share') return `${(value * 100).toFixed(1)} %`;
    if (unit === 'ratio') return `${value.toFixed(2)} ×`;
    return `${value.toFixed(1)} ${unit}`;
  };
  const rows = outcomes
    .filter(({ verdict }) => verdict !== 'skipped')
    .map(({ target, shape, sense, bound, asked, unit, value, verdict }) => [
      target,
      shape ?? '',
      `${sense} ${number(bound, unit)}${asked === undefined ? '' : ` (the machine's limit; else ${number(asked, unit)})`}`,
      number(value!.median, unit),
      `${number(value!.low, unit)} – ${number(value!.high, unit)}`,
      verdict === 'short' ? 'SHORT' : verdict,
    ]);
  const skipped = outcomes.filter(({ verdict }) => verdict === 'skipped');
  const why = new Map<string, string[]>();
  for (const { target, shape, reason } of skipped) {
    const line = `${target}: ${reason}`;
    why.set(line, [...(why.get(line) ?? []), shape ?? '']);
  }
  return [
    table([['target', 'shape', 'wanted', 'median', '95 % interval', ''], ...rows], 2),
    ...[...why].map(([line, shapes]) => `skipped: ${line} (${shapes.join(', ')})`),
  ].join('\n');
}
