import { type AttentionObserver, HEADS, MAX_TOKENS, type SentenceEncoder } from './encoder.ts';
import type { Tokenize } from './tokenizer.ts';

/** How much each token (row) of a sentence looks at each other one (column) in one layer; rows sum to 1. */
export type AttentionMap = { sentence: string; caption: string; tokens: string[]; weights: number[][] };

/** `layer` from 1; `head` from 1, or the mean of the heads without one. */
export function attentionMap(
  encoder: SentenceEncoder,
  tokenize: Tokenize,
  sentence: string,
  { layer, head }: { layer: number; head?: number },
): AttentionMap {
  const { ids, tokens } = tokenize(sentence);
  const n = Math.min(ids.length, MAX_TOKENS);
  let all: ArrayLike<number> = [];
  const observe: AttentionObserver = (index, weights) => {
    if (index === layer - 1) all = weights.toArray();
  };
  encoder.embed([ids], observe).dispose();
  const heads = head === undefined ? Array.from({ length: HEADS }, (_, h) => h) : [head - 1];
  const weight = (i: number, j: number) => heads.reduce((sum, h) => sum + all[(h * n + i) * n + j], 0) / heads.length;
  return {
    sentence,
    caption: `layer ${layer}, ${head === undefined ? `mean of ${HEADS} heads` : `head ${head} of ${HEADS}`}`,
    tokens: tokens.slice(0, n),
    weights: Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => weight(i, j))),
  };
}

export const largest = ({ weights }: AttentionMap) => Math.max(...weights.flat());
