import { type AttentionMask, type AttentionOptions, bigBirdRandomBlocks, masks } from 'wasm-attention';
import {
  bigBirdPattern,
  chunkedPattern,
  dilatedPattern,
  documentsPattern,
  longformerPattern,
  type Pattern,
  prefixPattern,
} from 'wasm-attention/reference';
import type { Choice } from './choice.ts';
import type { Inputs, Operation } from './trial.ts';

type Sizes = { batch: number; heads: number; queries: number; keys: number };
type Sees = (batch: number, head: number, query: number, key: number) => boolean;

/** `square`: for as many keys as queries, query `i` at position `i`. */
export type Masked = { mask: AttentionOptions['mask']; sees: Sees; square: boolean };

// biome-ignore lint/suspicious/noExplicitAny: hostile arguments have any type
type Patterned = { build: (...args: any[]) => AttentionMask; args: unknown[]; sees: Sees };

const kinds: Record<string, (sizes: Sizes, pick: Choice) => Patterned> = {
  causal: () => ({ build: masks.causal, args: [], sees: (_b, _h, i, j) => j <= i }),
  window(_, pick) {
    const [left, right] = pick.list(2, 0, 30);
    return { build: masks.slidingWindow, args: [left, right], sees: (_b, _h, i, j) => j >= i - left && j <= i + right };
  },
  dilated(_, pick) {
    const [window, dilation] = [pick.integer(0, 9), pick.integer(1, 4)];
    return { build: masks.dilated, args: [{ window, dilation }], sees: positions(dilatedPattern(window, dilation)) };
  },
  chunked(_, pick) {
    const size = pick.integer(1, 30);
    return { build: masks.chunked, args: [size], sees: positions(chunkedPattern(size)) };
  },
  prefix({ batch, queries }, pick) {
    const lengths = pick.list(batch, 0, queries);
    return { build: masks.prefixLM, args: [lengths], sees: (b, _h, i, j) => prefixPattern(lengths[b])(i, j) };
  },
  documents({ queries }, pick) {
    const ends = pick.list(pick.integer(0, 3), 0, queries).sort((a, b) => a - b);
    const starts = [0, ...ends, queries];
    return { build: masks.documents, args: [starts], sees: positions(documentsPattern(starts)) };
  },
  longformer({ queries }, pick) {
    const [window, dilation] = [pick.integer(0, 9), pick.integer(1, 3)];
    const globalTokens = pick.list(pick.integer(0, Math.min(3, queries)), 0, queries - 1);
    const sees = positions(longformerPattern(window, dilation, globalTokens));
    return { build: masks.longformer, args: [{ window, dilation, globalTokens }], sees };
  },
  bigBird({ queries }, pick) {
    const options = { blockSize: pick.integer(1, 20), randomBlocks: pick.integer(0, 3), seed: pick.seed() };
    const blocks = Math.ceil(queries / options.blockSize);
    const ends = { start: 1, end: 1, window: 3 };
    const sees: Sees = (_b, h, i, j) =>
      bigBirdPattern(blocks, options.blockSize, ends, bigBirdRandomBlocks(blocks, h, options))(i, j);
    return { build: masks.bigBird, args: [options], sees };
  },
  blockSparse({ queries }, pick) {
    const blockSize = pick.integer(4, 40);
    const count = Math.ceil(queries / blockSize);
    const blocks = Array.from({ length: count }, () => pick.list(count, 0, 1));
    const sees = positions((i, j) => blocks[Math.floor(i / blockSize)][Math.floor(j / blockSize)] === 1);
    return { build: masks.blockSparse, args: [{ blockSize, blocks }], sees };
  },
};

function positions(pattern: Pattern): Sees {
  return (_b, _h, i, j) => pattern(i, j);
}

/** A mask of positions, for as many keys as queries. */
export function patternFor(sizes: Sizes, pick: Choice): Patterned {
  return pick.one(...Object.values(kinds))(sizes, pick);
}

/** Any mask: of positions, of two of them, of a predicate, of a tensor. */
export function maskFor(sizes: Sizes, inputs: Inputs, pick: Choice): Masked {
  if (sizes.queries > 0 && pick.chance()) {
    const [one, other] = [patternFor(sizes, pick), patternFor(sizes, pick)];
    const mask = one.build(...one.args);
    const all = { square: true };
    return pick.one<() => Masked>(
      () => ({ mask, sees: one.sees, ...all }),
      () => ({ mask: mask.not(), sees: (...pair) => !one.sees(...pair), ...all }),
      () => ({
        mask: mask.and(other.build(...other.args)),
        sees: (...pair) => one.sees(...pair) && other.sees(...pair),
        ...all,
      }),
      () => ({
        mask: mask.or(other.build(...other.args)),
        sees: (...pair) => one.sees(...pair) || other.sees(...pair),
        ...all,
      }),
    )();
  }
  const modulus = pick.integer(1, 7);
  const sees: Sees = (b, h, i, j) => (i * 5 + j * 3 + b + 2 * h) % modulus === 0;
  const kind = pick.one('predicate', 'boolean', 'float32');
  if (kind === 'predicate') return { mask: masks.fromPredicate(sees), sees, square: false };
  const { batch, heads, queries, keys } = sizes;
  const visible = Array.from({ length: batch * heads * queries * keys }, (_, at) => {
    const [j, i, head] = [at % keys, Math.floor(at / keys) % queries, Math.floor(at / keys / queries)];
    return sees(Math.floor(head / heads), head % heads, i, j);
  });
  const shape = [batch, heads, queries, keys];
  if (kind === 'boolean')
    return { mask: inputs.upload({ shape, data: visible.map(Number) }, 'boolean'), sees, square: false };
  const added = visible.map((is) => (is ? 0 : -Infinity));
  return { mask: inputs.upload({ shape, data: added }), sees, square: false };
}

/** What makes a mask, and the plan of it. */
const maskPlan: Operation = (_inputs, pick) => {
  const [queries, heads] = [pick.size(20, 100), 2];
  const { build, args, sees } = patternFor({ batch: 1, heads, queries, keys: queries }, pick);
  return {
    args,
    call: (...given) => build(...given).plan({ heads, queries, keys: queries, queryOffset: 0 }),
    check({ pairs }: { pairs: { visible: number } }) {
      let visible = 0;
      for (let at = 0; at < heads * queries * queries; at++) {
        const [j, i] = [at % queries, Math.floor(at / queries) % queries];
        if (sees(0, Math.floor(at / queries / queries), i, j)) visible++;
      }
      if (pairs.visible !== visible) throw new Error(`the plan has ${pairs.visible} visible pairs, not ${visible}`);
    },
  };
};

export const maskOperations: Record<string, Operation> = { 'masks, plan': maskPlan };
