import type { Runtime } from 'wasm-attention';
import { SentenceEncoder } from '../../semantic-search/src/encoder.ts';
import { type Manifest, readWeights, shardsOf } from '../../semantic-search/src/manifest.ts';
import { type Tokenize, unigramTokenizer, type Vocabulary } from '../../semantic-search/src/vocabulary.ts';

export type Model = { encoder: SentenceEncoder; tokenize: Tokenize };

/** Loads the pretrained encoder; `onProgress` gets bytes so far and bytes in all. */
export async function loadModel(runtime: Runtime, onProgress: (loaded: number, all: number) => void): Promise<Model> {
  const [manifest, vocabulary] = await Promise.all([json<Manifest>('model.json'), json<Vocabulary>('vocab.json')]);
  const elements = manifest.weightsManifest.flatMap(({ weights }) => weights);
  const all = elements.reduce((sum, { shape }) => sum + 4 * shape.reduce((product, n) => product * n, 1), 0);
  let loaded = 0;
  const shards = await Promise.all(
    shardsOf(manifest).map((path) =>
      bytes(path, (count) => {
        loaded += count;
        onProgress(loaded, all);
      }),
    ),
  );
  return {
    encoder: new SentenceEncoder(runtime, readWeights(manifest, shards)),
    tokenize: unigramTokenizer(vocabulary),
  };
}

/** The files of the model's package are served beside the page (publicDir in vite.config.ts). */
async function get(name: string): Promise<Response> {
  const response = await fetch(new URL(name, document.baseURI));
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response;
}

async function json<T>(name: string): Promise<T> {
  return (await get(name)).json();
}

async function bytes(name: string, onChunk: (count: number) => void): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const reader = (await get(name)).body!.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    onChunk(next.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
