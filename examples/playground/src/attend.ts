import { alibiSlopes, attentionWeights } from 'wasm-attention';
import { type Experiment, HEADS, LAYERS, MAX_TOKENS } from '../../semantic-search/src/encoder.ts';
import { type MaskName, maskChoices } from './choices.ts';
import type { Model } from './model.ts';

export type Setting = { mask: MaskName; size: number; sinusoidal: boolean; alibi: boolean; rope: boolean };

/** What a sentence does in the encoder: scores and weights of each layer, [HEADS, tokens, tokens]; a hidden pair scores −Infinity. */
export type Attended = {
  tokens: string[];
  scores: Float32Array[];
  weights: Float32Array[];
  cut: number;
  milliseconds: number;
};

export const untrained = ({ mask, sinusoidal, alibi, rope }: Setting) =>
  mask !== 'full' || !sinusoidal || alibi || rope;

export function experimentOf({ mask, size, sinusoidal, alibi, rope }: Setting, tokens: number): Experiment {
  return {
    mask: mask === 'full' ? undefined : maskChoices[mask].make(tokens, size),
    sinusoidal,
    alibiSlopes: alibi ? alibiSlopes(HEADS) : undefined,
    rotary: rope,
  };
}

export function attend({ encoder, tokenize }: Model, text: string, setting: Setting): Attended {
  const { ids, tokens } = tokenize(text);
  const count = Math.min(ids.length, MAX_TOKENS);
  const layers: { scores: Float32Array; weights: Float32Array }[] = [];
  const experiment = experimentOf(setting, count);
  const began = performance.now();
  const embedding = encoder.embed(
    [ids],
    (layer, weights, { query, key, options }) => {
      const scores = attentionWeights(query, key, { ...options, stage: 'masked' });
      layers[layer] = { scores: scores.toArray(), weights: weights.toArray() };
    },
    experiment,
  );
  embedding.dispose();
  const milliseconds = performance.now() - began;
  return {
    tokens: tokens.slice(0, count),
    scores: layers.map(({ scores }) => scores),
    weights: layers.map(({ weights }) => weights),
    cut: ids.length - count,
    milliseconds,
  };
}

/** A head of a layer, or the mean of its heads. */
export type View = { layer: number; head: number | 'mean' };

export const views: View[] = Array.from({ length: LAYERS }, (_, layer): View[] => [
  ...Array.from({ length: HEADS }, (_, head): View => ({ layer, head })),
  { layer, head: 'mean' },
]).flat();

/** One [tokens, tokens] matrix out of a layer's; the mean of scores is over the heads in which a pair is visible. */
export function matrixOf(layers: readonly Float32Array[], { layer, head }: View): Float32Array {
  const all = layers[layer];
  const size = all.length / HEADS;
  if (head !== 'mean') return all.subarray(head * size, (head + 1) * size);
  return Float32Array.from({ length: size }, (_, at) => {
    const visible = Array.from({ length: HEADS }, (_, h) => all[h * size + at]).filter(Number.isFinite);
    return visible.length > 0 ? visible.reduce((sum, value) => sum + value, 0) / visible.length : -Infinity;
  });
}
