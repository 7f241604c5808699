import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { type io, type Tensor2D, tensor1d, tensor2d } from '@tensorflow/tfjs-core';
import { modelFolder } from '../src/weights.ts';

/** The model's own graph, run by TensorFlow.js on its plain JavaScript backend: token ids → one vector a sentence. */
export async function tensorflowEmbeddings(sentences: readonly (readonly number[])[]): Promise<Float32Array[]> {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(join(modelFolder, 'model.json'), 'utf8'));
  const [{ paths, weights }] = weightsManifest;
  const shards = Buffer.concat(paths.map((path: string) => readFileSync(join(modelFolder, path))));
  const artifacts: io.ModelArtifacts = {
    modelTopology,
    weightSpecs: weights,
    weightData: new Uint8Array(shards).buffer,
  };
  const model = await loadGraphModel({ load: async () => artifacts });
  const indices = sentences.flatMap((sentence, b) => sentence.map((_, t) => [b, t]));
  const output = (await model.executeAsync({
    indices: tensor2d(indices, [indices.length, 2], 'int32'),
    values: tensor1d(sentences.flat(), 'int32'),
  })) as Tensor2D;
  const rows = await output.array();
  return rows.map((row) => Float32Array.from(row));
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] ** 2;
    bb += b[i] ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}
