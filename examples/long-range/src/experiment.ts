import * as tf from '@tensorflow/tfjs-core';
import type { Runtime } from 'wasm-attention';
import { attention } from './attention.ts';
import { lstm } from './lstm.ts';
import { type Model, measure, train } from './model.ts';
import { generator, type Random } from './task.ts';

export type Kind = 'LSTM' | 'attention';

export type Sizes = {
  /** Where the verb stands, in words from the subject at 1. */
  positions: readonly number[];
  /** Up to which position each is also trained from the start, with the verb there. */
  trainedThere: Record<Kind, number>;
  steps: number;
  /** Sentences that are measured at each position. */
  count: number;
};

/** `near`: trained with the verb at positions 5 to 20. `there`: trained with the verb where it is measured. */
export type Training = 'untrained' | 'near' | 'there';

export type Measurement = {
  kind: Kind;
  training: Training;
  position: number;
  accuracy: number;
  /** Mean length of ∂logit/∂x₁. */
  gradient: number;
};

export const full: Sizes = {
  positions: [10, 20, 40, 80, 160, 320, 640, 1000],
  trainedThere: { LSTM: 80, attention: 1000 },
  steps: 60,
  count: 32,
};

/** Every model starts from the same seed, so that all of a kind are one model before they are trained. */
export function experiment(runtime: Runtime, { positions, trainedThere, steps, count }: Sizes = full) {
  const make: Record<Kind, (random: Random) => Model> = {
    LSTM: lstm,
    attention: (random) => attention(runtime, random),
  };
  const found: Measurement[] = [];
  for (const kind of ['LSTM', 'attention'] as const) {
    const run = (training: Training, at: readonly number[], lengthOf?: (random: Random) => number) => {
      const model = make[kind](generator(3));
      const random = generator(4);
      if (lengthOf) train(model, steps, () => lengthOf(random), random);
      for (const position of at)
        found.push({ kind, training, position, ...measure(model, position, count, generator(position)) });
      tf.dispose(model.variables);
    };
    run('untrained', positions);
    run('near', positions, (random) => 5 + Math.floor(16 * random()));
    for (const position of positions.filter((n) => n <= trainedThere[kind])) run('there', [position], () => position);
  }
  return found;
}
