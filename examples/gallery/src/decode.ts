import type { Runtime } from 'wasm-attention';
import { difference, mebibytes } from './common.ts';
import { Decoder, type DecoderSizes, type Memory } from './decoder.ts';

const tiny = { layers: 2, dim: 512, heads: 8, kvHeads: 2, headDim: 64, ffn: 1024, vocabulary: 2000 };
const PROMPT = [1, 17, 42, 9];

type Text = { tokens: number[]; logits: Float32Array[]; msPerToken: number; cacheBytes: number; cached: number };

/** Greedy decoding, a token at a time. */
function stream(decoder: Decoder, length: number, memory: Memory): Text {
  const { runtime } = decoder;
  const before = runtime.memory.usedBytes;
  const caches = decoder.caches(memory);
  const cacheBytes = runtime.memory.usedBytes - before;
  const tokens = [...PROMPT];
  const logits: Float32Array[] = [decoder.decode(PROMPT, caches).slice(-decoder.sizes.vocabulary)];
  const begin = performance.now();
  while (tokens.length < length) {
    const last = logits.at(-1)!;
    tokens.push(last.indexOf(Math.max(...last)));
    logits.push(decoder.decode(tokens.slice(-1), caches));
  }
  const msPerToken = (performance.now() - begin) / (length - PROMPT.length);
  const cached = caches[0].length;
  for (const cache of caches) cache.dispose();
  return { tokens, logits, msPerToken, cacheBytes, cached };
}

/** How far the streamed logits are from those of the whole text computed at once. */
function distance({ tokens, logits }: Text, whole: Float32Array, vocabulary: number): number {
  return Math.max(
    ...logits.map((streamed, step) => {
      const at = (step + tokens.length - logits.length) * vocabulary;
      return difference(streamed, whole.subarray(at, at + vocabulary));
    }),
  );
}

/** The same text four ways: a float32 and an int8 cache, a ring of the last tokens, and a ring that keeps the first as well. */
export function decode(
  runtime: Runtime,
  { length, window, sinks, ...sizes }: DecoderSizes & { length: number; window: number; sinks: number } = {
    ...tiny,
    length: 512,
    window: 124,
    sinks: 4,
  },
) {
  const decoder = new Decoder(runtime, sizes, 1);
  const { vocabulary } = sizes;
  const memories: Record<string, Memory> = {
    float32: { maxLength: length },
    int8: { maxLength: length, dtype: 'int8' },
    window: { window, sinks: 0 },
    sinks: { window, sinks },
  };
  const texts = Object.fromEntries(
    Object.entries(memories).map(([name, memory]) => [name, stream(decoder, length, memory)]),
  );
  const { float32, int8, window: ring, sinks: ringWithSinks } = texts;
  const error = (text: Text, whole: Float32Array) => distance(text, whole, vocabulary);
  return {
    sizes,
    length,
    texts,
    /** Against a recomputation of the whole text, in which each token sees what was in the cache. */
    errors: {
      float32: error(float32, decoder.recompute(float32.tokens)),
      int8: error(int8, decoder.recompute(int8.tokens)),
      window: error(ring, decoder.recompute(ring.tokens, window)),
      sinks: error(ringWithSinks, decoder.recomputeWithSinks(ringWithSinks.tokens, window, sinks)),
    },
    /** How many tokens the text of the ring with sinks has in common with that of the whole cache, from the first on. */
    common: commonLength(ringWithSinks.tokens, float32.tokens),
  };
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((token, i) => token !== b[i]);
  return at < 0 ? a.length : at;
}

export function report({ sizes, length, texts, errors, common }: ReturnType<typeof decode>): string[] {
  const line = (name: string, what: string) => {
    const { msPerToken, cacheBytes, cached } = texts[name];
    const speed = `${(1000 / msPerToken).toFixed(0).padStart(5)} tokens/s`;
    return `${name.padEnd(8)} ${speed}, cache of ${mebibytes(cacheBytes)}, ${cached} tokens in it. ${what}`;
  };
  return [
    `A decoder of ${sizes.layers} layers (seeded weights), ${sizes.heads} heads over ${sizes.kvHeads}, writes ${length} tokens one by one.`,
    line('float32', `Logits differ from a recomputation of the whole text by ${errors.float32.toExponential(1)}.`),
    line('int8', `By ${errors.int8.toExponential(1)}.`),
    line('window', `From a recomputation that sees as many last tokens: ${errors.window.toExponential(1)}.`),
    line('sinks', `The first tokens stay as well; likewise: ${errors.sinks.toExponential(1)}.`),
    `The ring with sinks writes the first ${common} tokens as the whole cache does.`,
  ];
}
