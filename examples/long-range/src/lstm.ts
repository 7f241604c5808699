import * as tf from '@tensorflow/tfjs-core';
import type { Model } from './model.ts';
import { DIM, type Random, weights } from './task.ts';

const HIDDEN = 8;

/** A layer of LSTM cells (Hochreiter & Schmidhuber 1997, with forget gates, their bias 1), and a linear map of its last output. */
export function lstm(random: Random): Model {
  const range = 1 / Math.sqrt(HIDDEN);
  const kernel = weights<tf.Rank.R2>([DIM + HIDDEN, 4 * HIDDEN], range, random);
  const bias = weights<tf.Rank.R1>([4 * HIDDEN], 0, random);
  const output = weights<tf.Rank.R2>([HIDDEN, 1], range, random);
  const outputBias = weights<tf.Rank.R1>([1], 0, random);
  return {
    variables: [kernel, bias, output, outputBias],
    logits(words) {
      const batch = words.shape[0];
      let cell = tf.zeros([batch, HIDDEN]) as tf.Tensor2D;
      let hidden = cell;
      for (const word of tf.unstack(words, 1) as tf.Tensor2D[])
        [cell, hidden] = tf.basicLSTMCell(tf.scalar(1), kernel, bias, word, cell, hidden);
      return tf.reshape(tf.add(tf.matMul(hidden, output), outputBias), [batch]);
    },
    reach(given) {
      let logits = new Float32Array();
      const total = (words: tf.Tensor) => {
        const each = this.logits(words as tf.Tensor3D);
        logits = each.dataSync() as Float32Array<ArrayBuffer>;
        return tf.sum(each) as tf.Scalar;
      };
      const gradients = tf.tidy(() => firstOf(tf.grad(total)(given.words) as tf.Tensor3D));
      return { logits, gradients };
    },
  };
}

/** [batch, length, DIM] → [batch · DIM]: what belongs to the first word. */
export function firstOf(gradient: tf.Tensor3D): Float32Array {
  return tf.slice(gradient, [0, 0, 0], [-1, 1, -1]).dataSync() as Float32Array;
}
