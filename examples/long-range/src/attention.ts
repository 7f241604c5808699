import * as tf from '@tensorflow/tfjs-core';
import { attentionState, linear, type Runtime } from 'wasm-attention';
import type { Model } from './model.ts';
import { DIM, type Random, weights } from './task.ts';

const SCALE = 1 / Math.sqrt(DIM);

/**
 * One head of attention from the verb to all words, and a linear map of its output. There are no positions: a subject is a
 * word of its own. TensorFlow.js trains it; what is measured runs on wasm-attention.
 */
export function attention(runtime: Runtime, random: Random): Model {
  const range = 1 / Math.sqrt(DIM);
  const [toQuery, toKey, toValue] = [0, 1, 2].map(() => weights<tf.Rank.R2>([DIM, DIM], range, random));
  const output = weights<tf.Rank.R2>([1, DIM], range, random);
  const outputBias = weights<tf.Rank.R1>([1], 0, random);
  return {
    variables: [toQuery, toKey, toValue, output, outputBias],
    logits(words) {
      const [batch, length] = words.shape;
      const flat = tf.reshape(words, [batch * length, DIM]) as tf.Tensor2D;
      const project = (x: tf.Tensor2D, weight: tf.Tensor2D) => tf.matMul(x, weight, false, true);
      const [key, value] = [toKey, toValue].map((weight) => tf.reshape(project(flat, weight), [batch, length, DIM]));
      const verb = tf.reshape(tf.slice(words, [0, length - 1, 0], [-1, 1, -1]), [batch, DIM]) as tf.Tensor2D;
      const query = tf.reshape(project(verb, toQuery), [batch, 1, DIM]);
      const p = tf.softmax(tf.mul(tf.matMul(query, key, false, true), SCALE));
      const attended = tf.reshape(tf.matMul(p, value), [batch, DIM]) as tf.Tensor2D;
      return tf.reshape(tf.add(project(attended, output), outputBias), [batch]);
    },
    reach({ words }) {
      const [batch, length] = words.shape;
      return runtime.scope(() => {
        const upload = (x: tf.Tensor) => runtime.tensor(x.shape, x.dataSync());
        const [wq, wk, wv, wo, bo] = [toQuery, toKey, toValue, output, outputBias].map(upload);
        const x = upload(words);
        const [key, value] = [wk, wv].map((weight) => linear(x, weight).view([batch, 1, length, DIM]));
        const verbs = runtime.tensor([batch, DIM], lastOf(x.data, batch, length));
        const query = linear(verbs, wq).view([batch, 1, 1, DIM]);
        const state = attentionState(query, key, value);
        const logits = linear(state.output.view([batch, DIM]), wo, bo).toArray();

        // z = w·o + b, o = Σ p_j v_j:  ∂z/∂x₁ = p₁·(W_vᵀ w + scale·(w·v₁ − w·o)·W_kᵀ q),  p₁ = e^{scale·q·k₁ − lse}
        const gradients = new Float32Array(batch * DIM);
        for (let b = 0; b < batch; b++) {
          const row = (data: Float32Array, at: number) => data.subarray(at * DIM, (at + 1) * DIM);
          const [q, o] = [row(query.data, b), row(state.output.data, b)];
          const [k1, v1] = [row(key.data, b * length), row(value.data, b * length)];
          const p1 = Math.exp(SCALE * dot(q, k1) - state.lse.data[b]);
          const steepness = SCALE * (dot(wo.data, v1) - dot(wo.data, o));
          for (let d = 0; d < DIM; d++)
            gradients[b * DIM + d] = p1 * (column(wv.data, d, wo.data) + steepness * column(wk.data, d, q));
        }
        return { logits, gradients };
      });
    },
  };
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let d = 0; d < DIM; d++) sum += a[d] * b[d];
  return sum;
}

/** `(Wᵀ y)_d` */
function column(weight: Float32Array, d: number, y: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < DIM; i++) sum += weight[i * DIM + d] * y[i];
  return sum;
}

/** The last vector of each sentence. */
function lastOf(words: Float32Array, batch: number, length: number): Float32Array {
  return Float32Array.from({ length: batch * DIM }, (_, at) => {
    const b = Math.floor(at / DIM);
    return words[((b + 1) * length - 1) * DIM + (at % DIM)];
  });
}
