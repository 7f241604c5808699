import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Measurement } from './experiment.ts';

/** Okabe and Ito's palette, told apart by the colour-blind. */
const colors = { domain: ['LSTM', 'attention'], range: ['#d55e00', '#0072b2'] };
/** Near where float32 ends: what is smaller is drawn here. */
const LEAST = 1e-42;

const size = { width: 460, height: 90 };
const color = {
  field: 'kind',
  type: 'nominal' as const,
  scale: colors,
  legend: { title: null, orient: 'top' as const },
};

/** The gradient and the recall over the distance, as SVG. */
export async function chart(found: readonly Measurement[]): Promise<string> {
  const positions = [...new Set(found.map(({ position }) => position))];
  const x = (title: string | null) => ({
    field: 'position',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, nice: false },
    axis: { title, values: positions, format: 'd', labelOverlap: false, grid: false },
  });
  const recall = (training: string, subtitle: string) => ({
    ...size,
    title: { text: 'Sentences whose verb is right', subtitle },
    data: { values: found.filter((m) => m.training === training) },
    encoding: {
      x: x(training === 'there' ? 'position of the verb (the subject is at 1)' : null),
      y: {
        field: 'accuracy',
        type: 'quantitative' as const,
        axis: { title: null, format: '.0%', values: [0, 0.5, 1] },
        scale: { domain: [0, 1.05] },
      },
      color,
      // Where both are right, the one behind shows on both sides.
      strokeWidth: { condition: { test: "datum.kind === 'LSTM'", value: 6 }, value: 2 },
    },
    mark: { type: 'line' as const, point: { size: 30 } },
  });
  const spec: TopLevelSpec = {
    background: 'white',
    padding: 16,
    spacing: 24,
    vconcat: [
      {
        ...size,
        height: 240,
        title: {
          text: 'How much the answer hangs on the subject: |∂ logit / ∂x₁|',
          subtitle: ['Dashed: what training begins with.', 'Solid: after training on verbs at 5 to 20.'],
        },
        data: {
          values: found
            .filter((m) => m.training !== 'there')
            .map((m) => ({ ...m, gradient: Math.max(m.gradient, LEAST), trained: String(m.training === 'near') })),
        },
        encoding: {
          x: x(null),
          y: {
            field: 'gradient',
            type: 'quantitative',
            axis: { title: null, format: '.0e', values: [1, 1e-10, 1e-20, 1e-30, 1e-40] },
            scale: { type: 'log', domain: [LEAST, 100], nice: false },
          },
          color,
          strokeDash: {
            field: 'trained',
            type: 'nominal',
            scale: {
              domain: ['false', 'true'],
              range: [
                [5, 4],
                [1, 0],
              ],
            },
            legend: null,
          },
        },
        mark: { type: 'line', point: { size: 30 } },
      },
      recall('near', 'Trained on verbs at 5 to 20.'),
      recall('there', 'Trained in as many steps on verbs at that position.'),
    ],
    config: {
      font: 'Helvetica, Arial, sans-serif',
      title: { anchor: 'start', fontSize: 13, subtitleFontSize: 11, subtitleColor: '#444444', offset: 8 },
      axis: { labelColor: '#222222', titleColor: '#222222', gridColor: '#e5e5e5' },
      view: { stroke: null },
    },
  };
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return `${await view.toSVG()}\n`;
}
