import type { SuiteResult } from '../measure.ts';
import { type Shape, sizes } from '../shapes.ts';
import { median } from '../statistics.ts';
import { best, peakShare, timeRatio } from '../targets.ts';
import type { Report } from './report.ts';

const ours = 'wasm-attention relaxed';
const peer = 'onnxruntime-web';
const shown = [
  'BERT-large',
  'ViT-B/16',
  'prefill, grouped',
  'diffusion self',
  'diffusion cross',
  'long 16384',
  'decode',
  'decode, ungrouped',
];

const begin = '<!-- bench: written by `npm run bench -- --readme` -->';
const end = '<!-- /bench -->';

/** Three digits. */
function time(seconds: number): string {
  const [value, unit] = seconds < 1 ? [seconds * 1000, 'ms'] : [seconds, 's'];
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

function row(suite: SuiteResult, shape: Shape): string[] {
  const own = best(suite, shape.name, ours);
  if (typeof own === 'string') throw new Error(`the table needs ${shape.name} of ${ours}: ${own}`);
  const theirs = best(suite, shape.name, peer);
  const decodes = shape.kind === 'decode';
  const share = peakShare(suite, shape, ours, decodes ? 'read' : 'fused');
  const times = timeRatio(theirs, own);
  if (typeof share !== 'object') throw new Error(`the table needs the peak of ${shape.name}: ${share}`);
  return [
    `${shape.name}: ${sizes(shape)}`,
    time(median(own.seconds)),
    `${(share.median * 100).toFixed(0)} %${decodes ? ' of the read bandwidth' : ''}`,
    typeof theirs === 'string' ? 'fails' : time(median(theirs.seconds)),
    typeof times === 'string' ? '' : `${times.median.toFixed(1)} ×`,
  ];
}

/** The table of a whole run, with a line that says of what. @throws Error where the run lacks a part of it */
export function table({ machine, quick, suites }: Report): string {
  if (quick) throw new Error('the table is that of a whole run, not of a quick one');
  const rows = shown.map((name) => {
    const suite = suites.find(({ shapes }) => shapes.some((shape) => shape.name === name));
    const shape = suite?.shapes.find((one) => one.name === name);
    if (!suite || !shape) throw new Error(`the table needs ${name}, which was not measured`);
    return row(suite, shape);
  });
  const head = ['', 'relaxed build', 'of the peak', peer, 'times'];
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const on = `One thread of an ${machine.cpu} on Node ${machine.node.split('.')[0]}, ${machine.date.slice(0, 10)}`;
  return `${on}; the peak is that of 128-bit multiply-adds, measured in the same run:\n\n${lines.join('\n')}`;
}

/** The README with the table between its marks. @throws Error where it has no marks */
export function withTable(readme: string, report: Report): string {
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no ${begin} … ${end}`);
  return `${readme.slice(0, from)}${begin}\n${table(report)}\n${readme.slice(to)}`;
}
