import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { attention } from '../src/attention.ts';
import { experiment, type Kind, type Measurement, type Training } from '../src/experiment.ts';
import { lstm } from '../src/lstm.ts';
import { answer, table } from '../src/report.ts';
import { chart } from '../src/svg.ts';
import { DIM, generator, sentences } from '../src/task.ts';

const runtime = createRuntimeSync({ build: 'simd' });

it('a sentence has its subject first, its verb last, and no subject between', () => {
  const { words, plural } = sentences(20, 9, generator(1));
  const ids = tf.argMax(words, 2).arraySync() as number[][];
  expect(ids.map(([subject]) => subject)).toEqual(Array.from(plural.dataSync()));
  for (const sentence of ids) {
    expect(sentence.at(-1)).toBe(14);
    for (const other of sentence.slice(1, -1)) expect(other).toSatisfy((id: number) => id > 1 && id < 14);
  }
});

it('attention on wasm-attention has the logits and the gradients of TensorFlow.js', () => {
  const model = attention(runtime, generator(2));
  const given = sentences(6, 30, generator(1));
  const { logits, gradients } = model.reach(given);
  const expected = tf.grad((words) => tf.sum(model.logits(words as tf.Tensor3D)))(given.words) as tf.Tensor3D;
  const first = tf.slice(expected, [0, 0, 0], [-1, 1, -1]).dataSync();
  model
    .logits(given.words)
    .dataSync()
    .forEach((logit, i) => void expect(logits[i]).toBeCloseTo(logit, 5));
  first.forEach((value, i) => void expect(gradients[i]).toBeCloseTo(value, 6));
  expect(Math.hypot(...gradients)).toBeGreaterThan(0.01);
});

it('the gradient of the LSTM is the slope of its logit', () => {
  const model = lstm(generator(2));
  const given = sentences(1, 4, generator(1));
  const { gradients } = model.reach(given);
  const step = 0.05;
  for (let d = 0; d < DIM; d++) {
    const [above, below] = [step, -step].map((by) => {
      const words = given.words.dataSync().slice();
      words[d] += by;
      return model.logits(tf.tensor3d(words, given.words.shape)).dataSync()[0];
    });
    expect(gradients[d]).toBeCloseTo((above - below) / (2 * step), 4);
  }
});

describe('over distance', () => {
  let found: Measurement[];
  beforeAll(() => {
    found = experiment(runtime, {
      positions: [10, 20, 80],
      trainedThere: { LSTM: 10, attention: 80 },
      steps: 60,
      count: 8,
    });
  });
  const at = (kind: Kind, training: Training, position: number) =>
    found.find((m) => m.kind === kind && m.training === training && m.position === position)!;

  it('both learn near', () => {
    for (const kind of ['LSTM', 'attention'] as const)
      for (const position of [10, 20]) expect(at(kind, 'near', position).accuracy, `${kind} ${position}`).toBe(1);
  });

  it('the gradient of the LSTM vanishes, that of attention does not', () => {
    for (const training of ['untrained', 'near'] as const) {
      const fall = (kind: Kind) => at(kind, training, 10).gradient / at(kind, training, 80).gradient;
      expect(fall('LSTM')).toBeGreaterThan(1e3);
      expect(fall('attention')).toBeLessThan(20);
    }
  });

  it('attention learns with the verb at 80, from the first word on', () => {
    expect(at('attention', 'untrained', 80).accuracy).toBeLessThan(1);
    expect(at('attention', 'there', 80).accuracy).toBe(1);
  });

  it('is reported and drawn', async () => {
    expect(table(found).length).toBe(8);
    expect(answer(found, 10)[2]).toContain('attention: its gradient reaches back');
    const svg = await chart(found);
    expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(svg).toContain('How much the answer hangs on the subject');
    expect(svg).not.toContain('NaN');
  });
});
