import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { DoesNotApply, type Loaded } from './contender.ts';

/** `matMul → softmax → matMul` keeps two matrices of scores; past this it only swaps. */
const LARGEST_SCORES = 2 ** 28;

/** TensorFlow.js has no attention operator: its users compose it. */
export async function tfjsWasm(): Promise<Loaded> {
  const system = 'tfjs-wasm';
  const tf = await import('@tensorflow/tfjs-core');
  const backend = await import('@tensorflow/tfjs-backend-wasm');
  const folder = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'));
  backend.setWasmPaths(`${folder}/`);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (!(await tf.setBackend('wasm'))) throw new Error('the wasm backend does not start');
  return {
    system,
    version: tf.version_core,
    contenders: [
      {
        system,
        way: 'matMul, softmax',
        prepare(shape, inputs) {
          const { batch, heads, kvHeads, queries, keys, headDim, causal } = shape;
          if (causal || kvHeads !== heads) throw new DoesNotApply('composed for the dense case only');
          if (batch * heads * queries * keys > LARGEST_SCORES / 2) throw new DoesNotApply('scores over 512 MB');
          const [query, key, value] = [
            tf.tensor4d(inputs.query, [batch, heads, queries, headDim]),
            tf.tensor4d(inputs.key, [batch, heads, keys, headDim]),
            tf.tensor4d(inputs.value, [batch, heads, keys, headDim]),
          ];
          let result: Float32Array;
          return {
            run() {
              const output = tf.tidy(() => {
                const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(headDim));
                return tf.matMul(tf.softmax(scores), value);
              });
              result = output.dataSync<'float32'>();
              output.dispose();
            },
            output: () => result,
            release: () => tf.dispose([query, key, value]),
          };
        },
      },
    ],
  };
}
