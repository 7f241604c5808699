import { describe } from 'vitest';
import { bigBirdRandomBlocks, masks, scaledDotProductAttention } from 'wasm-attention';
import { key, type Loose, query, refuses, value } from './refused.ts';

const loose: Loose = masks;
/** Attention over 3 queries and 5 keys of 2 heads. */
const used = (mask: Loose) => () => scaledDotProductAttention(query, key, value, { mask });
const sizes = { queries: 3, keys: 5 };

describe('masks', () => {
  refuses([
    ['chunked 0', () => loose.chunked(0), RangeError, /chunked: "size" is 0, not an integer ≥ 1/],
    ['chunked', () => loose.chunked(), RangeError, /chunked: "size" is undefined/],
    ['prefixLM', () => loose.prefixLM(), TypeError, /prefixLM: "n" must be a number or one per batch/],
    ['prefixLM −1', () => loose.prefixLM(-1), RangeError, /prefixLM: "n" is -1/],
    ['prefixLM of 2 batches', used(masks.prefixLM([1, 2])), RangeError, /"n" of prefixLM must be .* per batch \(1\)/],
    ['documents', () => loose.documents(3), TypeError, /documents: "cuSeqlens" must be an array of offsets, .* 3/],
    ['documents null', () => loose.documents(null), TypeError, /"cuSeqlens" must be an array/],
    ['documents from 1', () => loose.documents([1, 5]), RangeError, /"cuSeqlens" must begin with 0/],
    ['no documents', () => loose.documents([]), RangeError, /"cuSeqlens" must begin with 0/],
    ['documents in disorder', () => loose.documents([0, 4, 3]), RangeError, /"cuSeqlens\[2\]" is 3, .* ≥ 4/],
    ['documents too short', used(masks.documents([0, 4])), RangeError, /"cuSeqlens" ends at 4, but there are 5 keys/],
    ['dilated', () => loose.dilated({ window: 2, dilation: 0 }), RangeError, /dilated: "dilation" is 0, .* ≥ 1/],
    ['dilated window', () => loose.dilated({ dilation: 2 }), RangeError, /dilated: "window" is undefined/],
    ['dilated of nothing', () => loose.dilated(), TypeError, /dilated: "options" must be an object/],
    ['dilated option', () => loose.dilated({ window: 1, rate: 2 }), TypeError, /unknown option "rate"/],
    [
      'predicate varies',
      () => loose.fromPredicate(() => true, 3),
      TypeError,
      /fromPredicate: "options" must be an object/,
    ],
    ['predicate option', () => loose.fromPredicate(() => true, { heads: false }), TypeError, /unknown option "heads"/],
  ]);
});

describe('longformer', () => {
  refuses([
    ['nothing', () => loose.longformer(), TypeError, /longformer: "options" must be an object/],
    ['window', () => loose.longformer({}), RangeError, /longformer: "window" is undefined/],
    ['window 0.5', () => loose.longformer({ window: 0.5 }), RangeError, /"window" is 0.5/],
    ['dilation', () => loose.longformer({ window: 1, dilation: 0 }), RangeError, /"dilation" is 0/],
    [
      'option',
      () => loose.longformer({ window: 1, attention_window: 2 }),
      TypeError,
      /unknown option "attention_window"/,
    ],
    ['globals 3', () => loose.longformer({ window: 1, globalTokens: 3 }), TypeError, /"globalTokens" must be an array/],
    ['global −1', () => loose.longformer({ window: 1, globalTokens: [-1] }), RangeError, /"globalTokens" is -1/],
    ['global "a"', () => loose.longformer({ window: 1, globalTokens: [['a']] }), RangeError, /"globalTokens" is a/],
    ['global 5', used(masks.longformer({ window: 1, globalTokens: [5] })), RangeError, /has 5, but there are 5 keys/],
    [
      'globals of 2 batches',
      used(masks.longformer({ window: 1, globalTokens: [[0], [1]] })),
      RangeError,
      /"globalTokens" must be one array for all batches or one per batch \(1\)/,
    ],
  ]);
});

describe('bigBird', () => {
  const table = (randomBlocks: Loose) => masks.bigBird({ blockSize: 1, randomBlocks });
  refuses([
    ['option', () => loose.bigBird({ block: 3 }), TypeError, /bigBird: unknown option "block"; there are blockSize/],
    ['null', () => loose.bigBird(null), TypeError, /"options" must be an object/],
    ['blockSize', () => loose.bigBird({ blockSize: 0 }), RangeError, /"blockSize" is 0/],
    ['windowBlocks', () => loose.bigBird({ windowBlocks: 2 }), RangeError, /"windowBlocks" is 2, not odd/],
    ['globalBlocks', () => loose.bigBird({ globalBlocks: -1 }), RangeError, /"globalBlocks" is -1/],
    ['randomBlocks', () => loose.bigBird({ randomBlocks: 1.5 }), RangeError, /"randomBlocks" is 1.5/],
    ['a word', () => loose.bigBird({ randomBlocks: '3' }), TypeError, /"randomBlocks" must be a count or a table of b/],
    ['a vector', () => loose.bigBird({ randomBlocks: [1] }), TypeError, /a count or a table of blocks, but it is 1/],
    ['a hole', () => loose.bigBird({ randomBlocks: [[1], null] }), TypeError, /a table of blocks, but it is null/],
    [
      'no block',
      () => loose.bigBird({ randomBlocks: [[1], [-1]] }),
      RangeError,
      /"randomBlocks" is -1, not an integer/,
    ],
    ['half a block', () => loose.bigBird({ randomBlocks: [[[0.5]]] }), RangeError, /"randomBlocks" is 0.5/],
    ['a seed too', () => loose.bigBird({ randomBlocks: [[1]], seed: 1 }), RangeError, /"seed" is of no use where/],
    ['3 rows of 5', used(table([[1], [1], [1], [1]])), RangeError, /has 4 rows, but there are 5 blocks, 2 of them gl/],
    ['no rows', used(table([])), RangeError, /"randomBlocks" has 0 rows, but there are 5 blocks/],
    ['block 5', used(table([[1], [5], [1]])), RangeError, /"randomBlocks" has block 5, but there are 5/],
    [
      '3 heads',
      used(
        table([
          [[1], [], []],
          [[], [], []],
          [[], [], []],
        ]),
      ),
      RangeError,
      /one per head \(2\)/,
    ],
    [
      'as a table',
      () => bigBirdRandomBlocks(3, 0, { randomBlocks: [[3]] }),
      RangeError,
      /Blocks: "randomBlocks" has block 3/,
    ],
    ['head 2 of 2', () => bigBirdRandomBlocks(3, 2, { randomBlocks: [[[1]], [[1]]] }), RangeError, /"head" is 2, but/],
    ['seed', () => loose.bigBird({ seed: 'x' }), RangeError, /"seed" is x/],
    ['mode', () => loose.bigBird({ mode: 'ITC' }), TypeError, /"mode" must be 'itc' or 'etc'/],
    ['drawn blocks', () => bigBirdRandomBlocks(-1, 0), RangeError, /bigBirdRandomBlocks: "blocks" is -1/],
    ['drawn for a head', () => bigBirdRandomBlocks(3, 0.5), RangeError, /bigBirdRandomBlocks: "head" is 0.5/],
  ]);
});

describe('blockSparse', () => {
  const of = (blocks: Loose, blockSize = 2) => masks.blockSparse({ blockSize, blocks });
  refuses([
    ['nothing', () => loose.blockSparse(), TypeError, /blockSparse: "options" must be an object/],
    ['no blocks', () => loose.blockSparse({}), TypeError, /"blocks" must be a matrix of booleans, but it is undefined/],
    ['a vector', () => of([1, 0]), TypeError, /"blocks" must be a matrix of booleans, but it is 1/],
    ['blockSize', () => of([[1]], 0), RangeError, /"blockSize" is 0/],
    ['too few rows', used(of([[1, 1, 1]])), RangeError, /"blocks" must be \[2\]\[3\] of 3 queries and 5 keys/],
    [
      'too few columns',
      used(
        of([
          [1, 1, 1],
          [1, 1],
        ]),
      ),
      RangeError,
      /"blocks" must be \[2\]\[3\]/,
    ],
    ['3 heads', used(of(Array(3).fill(Array(2).fill([1, 1, 1])))), RangeError, /one matrix .* one per head \(2\)/],
  ]);
});

describe('plan, toString, toSVG', () => {
  const mask: Loose = masks.causal();
  refuses([
    ['nothing', () => mask.plan(), TypeError, /plan: "options" must be an object/],
    ['no keys', () => mask.plan({ queries: 3 }), RangeError, /plan: "keys" is undefined, not an integer ≥ 1/],
    ['0 queries', () => mask.plan({ queries: 0, keys: 3 }), RangeError, /"queries" is 0/],
    ['batch', () => mask.plan({ ...sizes, batch: 0.5 }), RangeError, /"batch" is 0.5/],
    [
      'queryOffset',
      () => mask.plan({ ...sizes, queryOffset: 0.5 }),
      RangeError,
      /"queryOffset" is 0.5, not an integer/,
    ],
    ['option', () => mask.plan({ ...sizes, head: 1 }), TypeError, /plan: unknown option "head"/],
    ['unfit', () => masks.documents([0, 4]).plan(sizes), RangeError, /plan: "cuSeqlens" ends at 4/],
    ['width', () => mask.toString({ ...sizes, width: 0 }), RangeError, /toString: "width" is 0/],
    ['head', () => mask.toSVG({ ...sizes, headIndex: 1 }), RangeError, /toSVG: "headIndex" is 1, but there are 1/],
    ['a batch', () => mask.toSVG({ ...sizes, batchIndex: -1 }), RangeError, /toSVG: "batchIndex" is -1/],
    ['no sizes', () => mask.toSVG(), TypeError, /toSVG: "options" must be an object/],
  ]);
});
