import { beforeAll, describe, expect, it } from 'vitest';
import { type Build, createRuntimeSync } from 'wasm-attention';
import { attentionMap } from '../src/attention.ts';
import { HEADS, LAYERS, MAX_TOKENS, SentenceEncoder } from '../src/encoder.ts';
import { shippedCorpus } from '../src/input.ts';
import { embedTexts, rank } from '../src/search.ts';
import { createTokenizer } from '../src/tokenizer.ts';
import { loadWeights, modelFolder } from '../src/weights.ts';
import { attentionNode, runGraph } from './tensorflow.ts';

const WIDTH = 512;
/** Of two float32 computations of one graph in different orders; 4.2e-7 is the largest seen in an embedding. */
const BOUND = 2e-6;
const builds: Build[] = ['simd', 'relaxed'];
const weights = loadWeights(modelFolder);
const tokenize = createTokenizer();
const sentences = shippedCorpus().map(([sentence]) => sentence);
const ids = sentences.map((sentence) => tokenize(sentence).ids);
const encoderOf = (build: Build) => new SentenceEncoder(createRuntimeSync({ build }), weights);

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a, (value, i) => Math.abs(value - b[i])).reduce((x, y) => Math.max(x, y), 0);
}

describe('as the graph run by TensorFlow.js', () => {
  const long = [ids.flat().slice(0, MAX_TOKENS + 40), ids[0]];
  const graph: Record<'embeddings' | 'long' | 'attention', Float32Array[]> = {
    embeddings: [],
    long: [],
    attention: [],
  };

  // About 15 s in plain JavaScript: once for both builds, in batches with little padding.
  beforeAll(async () => {
    const order = ids.map((_, s) => s).sort((a, b) => ids[a].length - ids[b].length);
    for (let start = 0; start < order.length; start += 10) {
      const batch = order.slice(start, start + 10);
      const rows = await runGraph(batch.map((s) => ids[s]));
      batch.forEach((s, row) => {
        graph.embeddings[s] = rows.slice(row * WIDTH, (row + 1) * WIDTH);
      });
    }
    graph.long = [await runGraph(long)];
    for (let layer = 0; layer < LAYERS; layer++)
      graph.attention[layer] = await runGraph([ids[0]], attentionNode(layer));
  }, 120_000);

  describe.each(builds)('%s build', (build) => {
    it('the embedding of every shipped sentence', () => {
      const { embeddings } = embedTexts(encoderOf(build), tokenize, sentences);
      expect(embeddings.shape).toEqual([sentences.length, WIDTH]);
      sentences.forEach((sentence, s) => {
        const actual = embeddings.slice(s, 1).data;
        expect(cosine(actual, graph.embeddings[s]), sentence).toBeGreaterThanOrEqual(0.99999);
        expect(largestDifference(actual, graph.embeddings[s]), sentence).toBeLessThanOrEqual(BOUND);
      });
    });

    it('the attention weights of every layer and head', () => {
      const encoder = encoderOf(build);
      const size = ids[0].length ** 2;
      for (let layer = 0; layer < LAYERS; layer++) {
        for (let head = 0; head < HEADS; head++) {
          const map = attentionMap(encoder, tokenize, sentences[0], { layer: layer + 1, head: head + 1 });
          const expected = graph.attention[layer].subarray(head * size, (head + 1) * size);
          expect(largestDifference(map.weights.flat(), expected)).toBeLessThanOrEqual(BOUND);
        }
      }
    });

    it('the end of a text that is too long', () => {
      const encoder = encoderOf(build);
      expect(largestDifference(encoder.embed(long).data, graph.long[0])).toBeLessThanOrEqual(BOUND);
      const cut = encoder.embed([long[0].slice(0, MAX_TOKENS)]);
      expect(largestDifference(cut.data, graph.long[0].subarray(0, WIDTH))).toBeLessThanOrEqual(BOUND);
    });
  });
});

describe.each(builds)('%s build', (build) => {
  it('embeds a sentence alone as in a batch of other lengths', () => {
    const encoder = encoderOf(build);
    const some = ids.slice(0, 8);
    const together = encoder.embed(some).toArray();
    some.forEach((sentence, s) => {
      const alone = encoder.embed([sentence]).toArray();
      expect(largestDifference(alone, together.subarray(s * WIDTH, (s + 1) * WIDTH))).toBeLessThanOrEqual(1e-6);
    });
  });

  it('frees what an embedding took', () => {
    const encoder = encoderOf(build);
    const before = encoder.runtime.memory.usedBytes;
    encoder.embed(ids.slice(0, 4)).dispose();
    expect(encoder.runtime.memory.usedBytes).toBe(before);
  });

  it('takes a text without tokens and a list without texts', () => {
    const encoder = encoderOf(build);
    expect(encoder.embed([]).shape).toEqual([0, WIDTH]);
    const [empty, other] = [encoder.embed([[], ids[0]]), encoder.embed([ids[0]])];
    expect(Array.from(empty.slice(0, 1).data).every(Number.isFinite)).toBe(true);
    expect(largestDifference(empty.slice(1, 1).data, other.data)).toBeLessThanOrEqual(1e-6);
  });
});

it('finds what a query means', () => {
  const pairs = [
    ['How do whales breathe?', 'The whale can only live by inhaling the disengaged air in the open atmosphere.'],
    ['Are railways punctual?', 'Have not men improved somewhat in punctuality since the railroad was invented?'],
    ['I want to travel the world.', 'I love to sail forbidden seas, and land on barbarous coasts.'],
    ['She fell into a hole.', sentences.find((sentence) => sentence.startsWith('Either the well was very deep'))],
  ] as const;
  const encoder = encoderOf('simd');
  const queries = embedTexts(
    encoder,
    tokenize,
    pairs.map(([query]) => query),
  ).embeddings;
  const hits = rank(queries, embedTexts(encoder, tokenize, sentences).embeddings, 3);
  expect(hits.map(([first]) => sentences[first.index])).toEqual(pairs.map(([, best]) => best));
  for (const row of hits)
    expect(row.map((hit) => hit.score)).toEqual(row.map((hit) => hit.score).sort((a, b) => b - a));
});

it('gives a shipped sentence itself as its best hit, with score 1', () => {
  const { embeddings } = embedTexts(encoderOf('simd'), tokenize, sentences);
  rank(embeddings, embeddings, 1).forEach(([hit], index) => {
    expect(hit.index).toBe(index);
    expect(hit.score).toBeCloseTo(1, 5);
  });
});
