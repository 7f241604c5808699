import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { type Tensor, tensor1d, tensor2d } from '@tensorflow/tfjs-core';
import { modelFolder } from '../src/weights.ts';

export const EMBEDDINGS = 'module_apply_default/Encoder_en/hidden_layers/l2_normalize';

/** The node of layer `layer` (from 0) whose output is softmax(QKᵀ), [sentences, heads, tokens, tokens]. */
export const attentionNode = (layer: number) =>
  `module_apply_default/Encoder_en/KonaTransformer/Encode/TransformerStack/Layer_${layer}/TransformerLayer/` +
  'MultiheadAttention/DotProductAttention/BaseDotProductAttention/attention_weights';

const model = (async () => {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(join(modelFolder, 'model.json'), 'utf8'));
  const [{ paths, weights }] = weightsManifest;
  const shards = Buffer.concat(paths.map((path: string) => readFileSync(join(modelFolder, path))));
  const weightData = new Uint8Array(shards).buffer;
  return loadGraphModel({ load: async () => ({ modelTopology, weightSpecs: weights, weightData }) });
})();

/** Runs the model's own graph by TensorFlow.js, on its plain JavaScript backend, and reads `node`. */
export async function runGraph(sentences: readonly (readonly number[])[], node = EMBEDDINGS): Promise<Float32Array> {
  const indices = sentences.flatMap((sentence, b) => sentence.map((_, t) => [b, t]));
  const inputs = {
    indices: tensor2d(indices, [indices.length, 2], 'int32'),
    values: tensor1d(sentences.flat(), 'int32'),
  };
  const output = (await (await model).executeAsync(inputs, node)) as Tensor;
  return (await output.data()) as Float32Array;
}
