import * as tf from '@tensorflow/tfjs-core';
import { DIM, type Random, type Sentences, sentences } from './task.ts';

/** Of each sentence: the logit of "plural", and its gradient with respect to the first word, [batch · DIM]. */
export type Reach = { logits: Float32Array; gradients: Float32Array };

export type Model = {
  readonly variables: tf.Variable[];
  /** The logit of "plural" for each sentence, differentiable by TensorFlow.js. */
  logits(words: tf.Tensor3D): tf.Tensor1D;
  reach(given: Sentences): Reach;
};

const BATCH = 32;
const LEARNING_RATE = 0.02;

/** Trains on sentences of a length that `lengthOf` draws, with Adam; returns the last loss, in nats. */
export function train(model: Model, steps: number, lengthOf: () => number, random: Random): number {
  const optimizer = tf.train.adam(LEARNING_RATE);
  let last = Number.NaN;
  for (let step = 0; step < steps; step++) {
    last = tf.tidy(() => {
      const { words, plural } = sentences(BATCH, lengthOf(), random);
      const loss = () => {
        const logits = model.logits(words);
        return tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, plural))) as tf.Scalar;
      };
      return optimizer.minimize(loss, true, model.variables)!.dataSync()[0];
    });
  }
  optimizer.dispose();
  return last;
}

/** On sentences of one length: the share whose verb is right, and the mean length of the gradient of the first word. */
export function measure(model: Model, length: number, count: number, random: Random) {
  const given = sentences(count, length, random);
  const { logits, gradients } = model.reach(given);
  const plural = given.plural.dataSync();
  tf.dispose(given);
  const right = logits.filter((logit, i) => logit > 0 === plural[i] > 0).length;
  let gradient = 0;
  for (let i = 0; i < count; i++) gradient += Math.hypot(...gradients.subarray(i * DIM, (i + 1) * DIM)) / count;
  return { accuracy: right / count, gradient };
}
