import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
// Its bundle registers the gradients.
import '@tensorflow/tfjs-layers';

// Keeps TensorFlow.js from recommending its native package.
tf.env().set('IS_NODE', false);
// Its threads do not start in Node.
tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
await tf.setBackend('wasm');

/** Size of a word's vector, which is one-hot. */
export const DIM = 16;

const [SINGULAR, PLURAL, FIRST_OTHER, LAST_OTHER, VERB] = [0, 1, 2, 13, 14];

/** The sentences of a batch: words [batch, length, DIM]; plural [batch], 1 where the verb must be plural. */
export type Sentences = { words: tf.Tensor3D; plural: tf.Tensor1D };

export type Random = () => number;

/** Numbers in [0, 1), the same for the same seed (numbers of Numerical Recipes' generator). */
export function generator(seed: number): Random {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A subject, singular or plural, at position 1; other words; at position `length` the verb, whose number is asked for. */
export function sentences(batch: number, length: number, random: Random): Sentences {
  const words = new Float32Array(batch * length * DIM);
  const plural = Float32Array.from({ length: batch }, () => Number(random() < 0.5));
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const other = FIRST_OTHER + Math.floor(random() * (LAST_OTHER - FIRST_OTHER + 1));
      const word = t === 0 ? (plural[b] ? PLURAL : SINGULAR) : t === length - 1 ? VERB : other;
      words[(b * length + t) * DIM + word] = 1;
    }
  }
  return { words: tf.tensor3d(words, [batch, length, DIM]), plural: tf.tensor1d(plural) };
}

/** A variable of numbers in [−range, range). */
export function weights<R extends tf.Rank>(shape: tf.ShapeMap[R], range: number, random: Random): tf.Variable<R> {
  const size = (shape as number[]).reduce((product, n) => product * n, 1);
  return tf.variable(
    tf.tensor<R>(
      Float32Array.from({ length: size }, () => (2 * random() - 1) * range),
      shape,
    ),
  );
}
