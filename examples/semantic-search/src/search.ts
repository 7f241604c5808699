import { linear, type Tensor } from 'wasm-attention';
import { MAX_TOKENS, type SentenceEncoder } from './encoder.ts';
import type { Tokenize } from './tokenizer.ts';

/** Sentences a call: bounds the memory that a long corpus takes. */
const BATCH = 32;

export type Embedded = { embeddings: Tensor; tokens: number; cut: number };

/** Embeds texts: [texts, 512], how many tokens that were, and how many texts lost what came after MAX_TOKENS. */
export function embedTexts(encoder: SentenceEncoder, tokenize: Tokenize, texts: readonly string[]): Embedded {
  const ids = texts.map((text) => tokenize(text).ids);
  const embeddings = encoder.runtime.empty([texts.length, 512]);
  // Neighbours in length share a call, so that little of it is padding.
  const order = ids.map((_, index) => index).sort((a, b) => ids[a].length - ids[b].length);
  for (let start = 0; start < order.length; start += BATCH) {
    const batch = order.slice(start, start + BATCH);
    const vectors = encoder.embed(batch.map((index) => ids[index]));
    for (const [row, index] of batch.entries()) embeddings.slice(index, 1).set(vectors.slice(row, 1).data);
    vectors.dispose();
  }
  return {
    embeddings,
    tokens: ids.reduce((sum, sentence) => sum + Math.min(sentence.length, MAX_TOKENS), 0),
    cut: ids.filter((sentence) => sentence.length > MAX_TOKENS).length,
  };
}

export type Hit = { index: number; score: number };

/** For each query, the `top` corpus entries by cosine, best first; rows of both have length 1, so it is `Q·Cᵀ`. */
export function rank(queries: Tensor, corpus: Tensor, top: number): Hit[][] {
  const [count, entries] = [queries.shape[0], corpus.shape[0]];
  const scores = linear(queries, corpus);
  const all = scores.toArray();
  scores.dispose();
  return Array.from({ length: count }, (_, q) =>
    Array.from({ length: entries }, (_, index) => ({ index, score: all[q * entries + index] }))
      .sort((a, b) => b.score - a.score)
      .slice(0, top),
  );
}
