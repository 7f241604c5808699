import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Measurement, SuiteResult } from '../measure.ts';
import { table, withTable } from '../report/readme.ts';
import type { Report } from '../report/report.ts';
import { flops, keyValueBytes, type Shape, suites } from '../shapes.ts';

const peaks = [1, 1, 1].map(() => ({ fused: 60e9, mulAdd: 40e9, read: 20e9 }));

/** Ours at half of its limit, the peer three times as slow. */
function measured(shape: Shape): Measurement[] {
  const seconds = shape.kind === 'decode' ? keyValueBytes(shape) / 10e9 : flops(shape) / 30e9;
  const three = (value: number) => [0.9 * value, value, 1.2 * value];
  const peer = { shape, system: 'onnxruntime-web', way: 'Attention' };
  return [
    { shape, system: 'wasm-attention relaxed', way: 'scaledDotProductAttention', seconds: three(seconds) },
    { shape, system: 'wasm-attention simd', way: 'scaledDotProductAttention', seconds: three(2 * seconds) },
    shape.name === 'long 16384'
      ? { ...peer, seconds: [], fails: 'integer overflow' }
      : { ...peer, seconds: three(3 * seconds) },
    { ...peer, way: 'GroupQueryAttention', seconds: [], doesNotApply: 'always causal' },
  ];
}

const suiteOf = (shapes: readonly Shape[]): SuiteResult => ({
  shapes: [...shapes],
  measurements: shapes.flatMap(measured),
  peaks,
  coreShare: 1,
});

const report: Report = {
  machine: {
    cpu: 'EPYC',
    logicalCores: 2,
    architecture: 'x64',
    platform: 'linux',
    node: '24.1.0',
    v8: '13.6',
    date: '2026-01-02T03:04:05.678Z',
    builds: ['relaxed', 'simd'],
  },
  quick: false,
  seconds: 200,
  systems: [],
  suites: suites.map(suiteOf),
  overhead: {},
  startup: {},
  outcomes: [],
};

const [begin, end] = ['<!-- bench: written by `npm run bench -- --readme` -->', '<!-- /bench -->'];

describe('the table of the README', () => {
  it('has a row a shape: time, share of the limit, the peer', () => {
    // 4 · 16 · 512² · 64 FLOPs at 30 GFLOP/s; 2 · 4 · 8 · 4096 · 128 bytes at 10 GB/s.
    expect(table(report)).toMatchInlineSnapshot(`
      "One thread of an EPYC on Node 24, 2026-01-02; the peak is that of 128-bit multiply-adds, measured in the same run:

      |  | relaxed build | of the peak | onnxruntime-web | times |
      | --- | --- | --- | --- | --- |
      | BERT-large: 16 × 512 × 64 | 35.8 ms | 50 % | 107 ms | 3.0 × |
      | ViT-B/16: 12 × 197 × 64 | 3.97 ms | 50 % | 11.9 ms | 3.0 × |
      | prefill, grouped: 32 (8 KV) × 1024 × 128 causal | 287 ms | 50 % | 860 ms | 3.0 × |
      | diffusion self: 8 × 4096 × 40 | 716 ms | 50 % | 2.15 s | 3.0 × |
      | diffusion cross: 8 × 4096 × 77 × 40 | 13.5 ms | 50 % | 40.4 ms | 3.0 × |
      | long 16384: 1 × 16384 × 64 | 2.29 s | 50 % | fails |  |
      | decode: 32 (8 KV) × 1 × 4096 × 128 | 3.36 ms | 50 % of the read bandwidth | 10.1 ms | 3.0 × |
      | decode, ungrouped: 32 × 1 × 4096 × 128 | 13.4 ms | 50 % of the read bandwidth | 40.3 ms | 3.0 × |"
    `);
  });

  it('is the same of the JSON that a run writes', () => {
    expect(table(JSON.parse(JSON.stringify(report)))).toBe(table(report));
  });

  it.each([
    ['a quick run', { ...report, quick: true }, 'whole run'],
    ['a run without a shape', { ...report, suites: report.suites.slice(1) }, 'BERT-large, which was not measured'],
    [
      'a run without the relaxed build',
      {
        ...report,
        suites: report.suites.map((suite) => ({
          ...suite,
          measurements: suite.measurements.filter(({ system }) => system !== 'wasm-attention relaxed'),
        })),
      },
      'was not measured',
    ],
  ])('is not made of %s', (_, part, message) => {
    expect(() => table(part)).toThrow(message);
  });

  it('stands between the marks, and nothing else is touched', () => {
    const readme = `before\n${begin}\nold\n${end}\nafter\n`;
    const written = withTable(readme, report);
    expect(written).toBe(`before\n${begin}\n${table(report)}\n${end}\nafter\n`);
    expect(withTable(written, report)).toBe(written);
  });

  it.each([`no marks`, `${end} ${begin}`, begin])('needs the marks: %s', (readme) => {
    expect(() => withTable(readme, report)).toThrow('README.md has no');
  });

  it('has its place in the README', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    expect(withTable(readme, report)).toContain(table(report));
  });
});
