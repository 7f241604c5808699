import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { SuiteResult } from '../measure.ts';
import { flops, sizes } from '../shapes.ts';
import { median } from '../statistics.ts';
import { best } from '../targets.ts';

const native = 'onnxruntime-node';

/** One colour a system (Okabe and Ito's palette, told apart by the colour-blind); native code is an outline. */
const fills: Record<string, string> = {
  'wasm-attention relaxed': '#0072b2',
  'wasm-attention simd': '#56b4e9',
  'onnxruntime-web': '#e69f00',
  [native]: '#ffffff',
  'tfjs-wasm': '#009e73',
  'jax-js': '#cc79a7',
};

/** Bars of GFLOP/s, grouped by shape, as SVG. */
export async function chart(suites: readonly SuiteResult[], subtitle: string[]): Promise<string> {
  const systems = Object.keys(fills);
  const bars = suites.flatMap((suite) =>
    suite.shapes.flatMap((shape) =>
      systems.flatMap((system) => {
        const measured = best(suite, shape.name, system);
        if (typeof measured === 'string') return [];
        return [
          {
            shape: `${shape.name}\n${sizes(shape)}`,
            system: system === native ? `${native} (native code)` : system,
            rate: flops(shape) / median(measured.seconds) / 1e9,
          },
        ];
      }),
    ),
  );
  const names = systems.map((system) => (system === native ? `${native} (native code)` : system));
  const shown = names.filter((name) => bars.some(({ system }) => system === name));
  const color = (of: (system: string) => string) => ({
    field: 'system',
    type: 'nominal' as const,
    scale: { domain: shown, range: shown.map((name) => of(systems[names.indexOf(name)])) },
  });
  const y = { field: 'shape', type: 'nominal' as const, sort: null };
  const yOffset = { field: 'system', sort: shown, scale: { paddingOuter: 0 } };
  const spec: TopLevelSpec = {
    title: { text: 'Exact attention, float32, one thread: GFLOP/s', subtitle, anchor: 'start', offset: 12 },
    background: 'white',
    padding: 16,
    width: 520,
    height: { step: 11 },
    data: { values: bars },
    encoding: {
      y: {
        ...y,
        scale: { paddingInner: 0.25 },
        axis: { title: null, labelPadding: 8, labelExpr: "split(datum.label, '\\n')", ticks: false },
      },
      yOffset,
    },
    layer: [
      {
        mark: { type: 'bar', strokeWidth: 1 },
        encoding: {
          x: { field: 'rate', type: 'quantitative', title: 'GFLOP/s' },
          fill: {
            ...color((system) => fills[system]),
            legend: { title: null, orient: 'top', columns: 3, labelLimit: 0 },
          },
          stroke: { ...color((system) => (system === native ? '#444444' : fills[system])) },
        },
      },
      {
        mark: { type: 'text', align: 'left', dx: 4, fontSize: 9, color: '#333333' },
        encoding: {
          x: { field: 'rate', type: 'quantitative' },
          text: { field: 'rate', type: 'quantitative', format: '.1f' },
        },
      },
    ],
    config: {
      font: 'Helvetica, Arial, sans-serif',
      axis: { labelLimit: 300, labelColor: '#222222', titleColor: '#222222', gridColor: '#e5e5e5' },
      scale: { bandWithNestedOffsetPaddingInner: 0.35 },
      view: { stroke: null },
    },
  };
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return `${await view.toSVG()}\n`;
}
