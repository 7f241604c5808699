import type { Runtime } from 'wasm-attention';
import { drawChart, powers } from './chart.ts';
import { maskChoices } from './choices.ts';
import { byId, element } from './dom.ts';
import type { MethodName, Order, Point, Report } from './measure.ts';
import type { PlanSetting } from './tiles.ts';

const lengths = [256, 512, 1024, 2048, 4096, 8192];
const names: MethodName[] = ['naive', 'weights', 'tiles', 'masked'];

const inUnit = (value: number, units: readonly (readonly [size: number, name: string])[]) => {
  const [size, name] = units.find(([least]) => value >= least) ?? units[units.length - 1];
  return `${+(value / size).toPrecision(3)} ${name}`;
};
const time = (ms: number) =>
  inUnit(ms, [
    [1000, 's'],
    [1, 'ms'],
    [0.001, 'µs'],
  ]);
const memory = (bytes: number) =>
  inUnit(bytes, [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ]);

/** The section that measures, on one thread with the build of the page's runtime; `setting` tells the mask of the tile plan. */
export function mountCost(runtime: Runtime, setting: () => PlanSetting): void {
  const button = byId<HTMLButtonElement>('measure');
  const status = byId('measured');
  let worker: Worker | undefined;

  button.addEventListener('click', () => (worker ? stop('Stopped.') : measure()));

  function stop(says: string): void {
    worker?.terminate();
    worker = undefined;
    button.textContent = 'Measure again';
    status.textContent = says;
  }

  function measure(): void {
    const { mask, size } = setting();
    const labels: Record<MethodName, string> = {
      naive: 'plain JavaScript, n² scores',
      weights: 'SIMD kernels, n² scores',
      tiles: 'tiles',
      masked: `tiles, mask: ${maskChoices[mask].label}`,
    };
    const points: Point[] = [];
    const ends: string[] = [];
    const engine = `${buildText(runtime)} on 1 thread`;
    button.textContent = 'Stop';
    status.textContent = `Measuring with the ${engine} …`;
    const own = new Worker(new URL('./cost.worker.ts', import.meta.url), { type: 'module' });
    worker = own;
    own.addEventListener('error', ({ message }) => stop(`The worker failed: ${message}`));
    own.addEventListener('message', ({ data }: MessageEvent<Report>) => {
      if (worker !== own) return;
      if (data.kind === 'ended') ends.push(` ${labels[data.method]}: not ${data.length} tokens, ${data.why}.`);
      if (data.kind === 'failed') stop(`The measurement failed: ${data.why}`);
      if (data.kind === 'done') stop(`Measured with the ${engine}.${ends.join('')}`);
      if (data.kind !== 'point') return;
      points.push(data.point);
      status.textContent = `Measuring with the ${engine}: ${labels[data.point.method]}, ${data.point.length} tokens …`;
      show(points, labels);
    });
    own.postMessage({ lengths, mask, size } satisfies Order);
  }
}

const buildText = ({ build }: Runtime) => (build === 'relaxed' ? 'relaxed SIMD build' : 'plain SIMD build');

/** What computes, in words. */
export function engineText(runtime: Runtime): string {
  const { threads, threadsReason: reason } = runtime;
  return `${buildText(runtime)} on ${threads} thread${threads > 1 ? 's' : ''}${reason ? ` (${reason})` : ''}`;
}

function show(points: readonly Point[], labels: Record<MethodName, string>): void {
  byId('charts').hidden = false;
  byId('numbers').hidden = false;
  const x = { title: 'tokens', ticks: lengths.map((length) => [length, `${length}`] as const) };
  const curves = (value: (point: Point) => number) =>
    names
      .map((name) => ({ name, points: points.filter(({ method }) => method === name) }))
      .filter((curve) => curve.points.length > 0)
      .map(({ name, points: own }) => ({
        name,
        label: labels[name],
        points: own.map((point) => [point.length, value(point)] as const),
      }));
  const milliseconds = points.map((point) => point.milliseconds);
  const bytes = points.map((point) => point.bytes);
  const times = { title: 'Time of a call', ticks: powers(milliseconds, 10, time) };
  const sizes = { title: 'Memory', ticks: powers(bytes, 16, memory) };
  drawChart(byId('time-chart'), times.title, { x, y: times, curves: curves((point) => point.milliseconds) });
  const beside = 'Memory beside query, key, value, output';
  drawChart(byId('memory-chart'), beside, { x, y: sizes, curves: curves((point) => point.bytes) });
  byId('points').replaceChildren(
    ...points.map(({ method, length, ...point }) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, labels[method]),
        element('td', {}, `${length}`),
        element('td', {}, time(point.milliseconds)),
        element('td', {}, memory(point.bytes)),
      ),
    ),
  );
}
