import { describe, expect, it } from 'vitest';
import { type AttentionMask, type BigBirdOptions, bigBirdRandomBlocks, masks } from 'wasm-attention';
import {
  attention,
  bigBirdPattern,
  chunkedPattern,
  dilatedPattern,
  documentsPattern,
  longformerPattern,
  type Pattern,
  prefixPattern,
} from 'wasm-attention/reference';
import { attentionState, attentionWeights, mergeStates } from '../src/index.ts';
import { builds, expectAccurate, poisonedRuntime, random, upload } from './support.ts';

const causalPattern: Pattern = (p, j) => j <= p;

/** `pattern` may differ between batches and heads. */
type Case = {
  mask: AttentionMask;
  pattern: (batch: number, head: number, keys: number) => Pattern;
  keys?: number[];
};

const all = (pattern: Pattern) => () => pattern;
const bigBird = (options: BigBirdOptions, start: number, end: number): Case => ({
  mask: masks.bigBird(options),
  pattern: (_b, h, keys) => {
    const { blockSize = 64, windowBlocks = 3 } = options;
    const blocks = Math.ceil(keys / blockSize);
    return bigBirdPattern(
      blocks,
      blockSize,
      { start, end, window: windowBlocks },
      bigBirdRandomBlocks(blocks, h, options),
    );
  },
});
/** Rows for blocks 1 to 4 of 6, as others' tables have them. */
const ofHead: number[][][] = [
  [[3, 4], [4], [1, 1], [2]],
  [[4], [0, 5], [], [1, 2, 3]],
];
/** 6 blocks of 12, the last one cut short. */
const tableCase = (randomBlocks: BigBirdOptions['randomBlocks'], rows: (head: number) => number[][]): Case => ({
  mask: masks.bigBird({ blockSize: 12, randomBlocks }),
  pattern: (_b, h) => bigBirdPattern(6, 12, { start: 1, end: 1, window: 3 }, rows(h)),
  keys: [70],
});
const grid = (rows: number, columns: number, seed: number) =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => (i * 7 + j * 5 + seed) % 3 === 0));
const sparse = [grid(17, 21, 0), grid(17, 21, 1)];

const cases: Record<string, Case> = {
  causal: { mask: masks.causal(), pattern: all(causalPattern) },
  window: { mask: masks.slidingWindow(5, 90), pattern: all((p, j) => j >= p - 5 && j <= p + 90) },
  'window of 40, causal': {
    mask: masks.slidingWindow(40, Number.POSITIVE_INFINITY).and(masks.causal()),
    pattern: all((p, j) => j >= p - 40 && j <= p),
  },
  dilated: { mask: masks.dilated({ window: 6, dilation: 3 }), pattern: all(dilatedPattern(6, 3)) },
  'dilated, causal': {
    mask: masks.dilated({ window: 30, dilation: 2 }).and(masks.causal()),
    pattern: all((p, j) => dilatedPattern(30, 2)(p, j) && j <= p),
  },
  chunked: { mask: masks.chunked(24), pattern: all(chunkedPattern(24)) },
  'chunked, causal': {
    mask: masks.chunked(100).and(masks.causal()),
    pattern: all((p, j) => chunkedPattern(100)(p, j) && causalPattern(p, j)),
  },
  prefix: { mask: masks.prefixLM(37), pattern: all(prefixPattern(37)) },
  'prefix per batch': { mask: masks.prefixLM([0, 99]), pattern: (b) => prefixPattern([0, 99][b]) },
  documents: {
    mask: masks.documents([0, 1, 1, 60, 130, 200]),
    pattern: all(documentsPattern([0, 1, 1, 60, 130, 200])),
    keys: [200],
  },
  'documents, causal': {
    mask: masks.documents([0, 3, 90, 213]).and(masks.causal()),
    pattern: all((p, j) => documentsPattern([0, 3, 90, 213])(p, j) && j <= p),
    keys: [213],
  },
  longformer: {
    mask: masks.longformer({ window: 9, globalTokens: [0, 3, 4, 70, 71] }),
    pattern: all(longformerPattern(9, 1, [0, 3, 4, 70, 71])),
    keys: [72, 200, 333],
  },
  'longformer, dilated, globals per batch': {
    mask: masks.longformer({ window: 8, dilation: 4, globalTokens: [[1], [0, 64]] }),
    pattern: (b) => longformerPattern(8, 4, [[1], [0, 64]][b]),
    keys: [65, 200, 333],
  },
  'longformer without globals': { mask: masks.longformer({ window: 33 }), pattern: all(longformerPattern(33, 1, [])) },
  bigBird: bigBird({}, 1, 1),
  'bigBird, small blocks': bigBird({ blockSize: 12, seed: 5 }, 1, 1),
  'bigBird, blocks of 100': bigBird({ blockSize: 100, randomBlocks: 1, windowBlocks: 1 }, 1, 1),
  'bigBird ETC': bigBird({ blockSize: 16, mode: 'etc', globalBlocks: 3, randomBlocks: 2, windowBlocks: 5 }, 3, 0),
  'bigBird, five globals': bigBird({ blockSize: 8, globalBlocks: 5, randomBlocks: 0 }, 3, 2),
  'bigBird, a table per head': tableCase(ofHead, (h) => [[], ...ofHead[h], []]),
  'bigBird, a table of typed arrays': tableCase(
    ofHead[1].map((row) => Int32Array.from(row)),
    () => [[], ...ofHead[1], []],
  ),
  'bigBird, a table with rows of global blocks': tableCase([[5], ...ofHead[0], [2]], () => [[], ...ofHead[0], []]),
  blockSparse: {
    mask: masks.blockSparse({ blockSize: 16, blocks: sparse }),
    pattern: (_b, h) => (p, j) => sparse[h][p >> 4][j >> 4],
    keys: [333],
  },
  'not, or': {
    mask: masks
      .slidingWindow(20, 20)
      .not()
      .or(masks.causal().and(masks.chunked(50))),
    pattern: all((p, j) => Math.abs(p - j) > 20 || (j <= p && chunkedPattern(50)(p, j))),
  },
  'predicate of everything': {
    mask: masks.fromPredicate((b, h, i, j) => (i * 3 + j * (b + 2) + h) % 7 < 3),
    pattern: (b, h) => (i, j) => (i * 3 + j * (b + 2) + h) % 7 < 3,
  },
  'predicate of neither batch nor head': {
    mask: masks.fromPredicate((_b, _h, i, j) => (i ^ j) % 5 === 0, { batch: false, head: false }),
    pattern: all((i, j) => (i ^ j) % 5 === 0),
  },
};
const [BATCH, HEADS] = [2, 2];
const KEYS = [1, 7, 63, 64, 65, 129, 200, 333];

describe.each(builds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function visible({ mask, pattern }: Case, queries: number, keys: number, queryOffset: number): void {
    const [query, key] = [random([BATCH, HEADS, queries, 4], 1), random([BATCH, HEADS, keys, 4], 2)];
    runtime.scope(() => {
      const options = { mask, queryOffset, stage: 'masked' } as const;
      const { data } = attentionWeights(upload(runtime, query), upload(runtime, key), options);
      const wrong: string[] = [];
      for (let b = 0; b < BATCH; b++) {
        for (let h = 0; h < HEADS; h++) {
          const sees = pattern(b, h, keys);
          for (let i = 0; i < queries; i++) {
            for (let j = 0; j < keys; j++) {
              const is = data[((b * HEADS + h) * queries + i) * keys + j] !== -Infinity;
              if (is !== sees(queryOffset + i, j)) wrong.push(`${queries}×${keys}: ${b} ${h} ${i} ${j}`);
            }
          }
        }
      }
      expect(wrong.slice(0, 5)).toEqual([]);
    });
  }

  it.each(Object.entries(cases))('%s: every pair', (_name, one) => {
    const ofRows = /predicate|blockSparse/.test(_name);
    for (const keys of one.keys ?? KEYS) {
      if (_name !== 'blockSparse') visible(one, keys, keys, 0);
      // Positions of a part of the sequence.
      if (!ofRows && keys > 64) visible(one, 70, keys, keys - 70 > 0 ? keys - 70 : -3);
    }
    if (_name === 'blockSparse') visible(one, 270, 333, 0);
  });

  it.each(Object.entries(cases))('%s: attention', (_name, { mask, pattern, keys: [keys] = [200] }) => {
    const queries = _name === 'blockSparse' ? 270 : keys;
    const shape = (length: number, dim: number) => [BATCH, HEADS, length, dim];
    const arrays = [random(shape(queries, 9), 1), random(shape(keys, 9), 2), random(shape(keys, 5), 3)] as const;
    const patterns = Array.from({ length: BATCH * HEADS }, (_, at) =>
      pattern(Math.floor(at / HEADS), at % HEADS, keys),
    );
    const options = {
      mask: (b: number, h: number, i: number, j: number) => patterns[b * HEADS + h](i, j),
      causalAlignment: 'top-left',
    } as const;
    const truth = attention(...arrays, options);
    const float32 = attention(...arrays, { ...options, precision: 'float32' });
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      const { output, lse } = attentionState(q, k, v, { mask, queryOffset: 0 });
      expectAccurate(output.data, truth.output.data, float32.output.data, 'output');
      expectAccurate(lse.data, truth.lse.data, float32.lse.data, 'lse');
    });
  });
});

describe('bigBirdRandomBlocks', () => {
  it.each<[BigBirdOptions, number, number]>([
    [{}, 1, 1],
    [{ randomBlocks: 7, windowBlocks: 5 }, 1, 1],
    [{ mode: 'etc', globalBlocks: 4, seed: 9 }, 4, 0],
  ])('%o: as many as asked for, all different, none in the window, none global', (options, start, end) => {
    const { randomBlocks = 3, windowBlocks = 3 } = options;
    for (const blocks of [40, 1024]) {
      const drawn = bigBirdRandomBlocks(blocks, 2, options);
      drawn.forEach((row, i) => {
        const global = i < start || i >= blocks - end;
        expect(row.length).toBe(global ? 0 : randomBlocks);
        expect(new Set(row).size).toBe(row.length);
        for (const j of row) {
          expect(Math.abs(j - i) > (windowBlocks - 1) / 2 && j >= start && j < blocks - end).toBe(true);
        }
      });
      expect(drawn[start]).not.toContain(blocks - end - 1);
      expect(drawn[blocks - end - 1]).not.toContain(start);
      expect(bigBirdRandomBlocks(blocks, 2, options)).toEqual(drawn);
      expect(bigBirdRandomBlocks(blocks, 3, options)).not.toEqual(drawn);
      expect(bigBirdRandomBlocks(blocks, 2, { ...options, seed: 77 })).not.toEqual(drawn);
    }
  });

  it('gives back a table, row by row', () => {
    expect(bigBirdRandomBlocks(6, 1, { randomBlocks: ofHead })).toEqual([[], ...ofHead[1], []]);
    const drawn = bigBirdRandomBlocks(40, 0, { seed: 3 });
    const again = masks.bigBird({ blockSize: 4, randomBlocks: drawn });
    const sizes = { queries: 160, keys: 160 };
    expect(again.toString(sizes)).toBe(masks.bigBird({ blockSize: 4, seed: 3 }).toString(sizes));
  });

  it('keeps its own copy of a table', () => {
    const table = ofHead[0].map((row) => [...row]);
    const mask = masks.bigBird({ blockSize: 12, randomBlocks: table });
    table[1][0] = 99;
    expect(() => mask.plan({ queries: 72, keys: 72 })).not.toThrow();
  });

  it('block 0 counted as often as Hugging Face does in its evaluation mode: merged states', () => {
    const runtime = poisonedRuntime('simd');
    const [blocks, size, times] = [7, 8, 3];
    const length = blocks * size;
    const [q, k, v] = [1, 2, 3].map((seed) => random([1, 2, length, 8], seed));
    // Its own algorithm: the keys of block 0 stand `times` more times behind the others, for blocks that are not global.
    const repeated = ({ data }: { data: Float32Array }) => ({
      shape: [1, 2, length + times * size, 8],
      data: [0, 1].flatMap((h) => {
        const head = [...data.subarray(h * length * 8, (h + 1) * length * 8)];
        return [...head, ...Array.from({ length: times }, () => head.slice(0, size * 8)).flat()];
      }),
    });
    const none = Array.from({ length: blocks }, () => []);
    const sees = bigBirdPattern(blocks, size, { start: 1, end: 1, window: 3 }, none);
    const inner = (i: number) => i >= size && i < length - size;
    const options = {
      mask: (_b: number, _h: number, i: number, j: number) => (j < length ? sees(i, j) : inner(i)),
      queryOffset: 0,
    };
    const truth = attention(q, repeated(k), repeated(v), options);
    const float32 = attention(q, repeated(k), repeated(v), { ...options, precision: 'float32' });
    const [query, key, value] = [q, k, v].map((array) => upload(runtime, array));
    const bigBird = attentionState(query, key, value, { mask: masks.bigBird({ blockSize: size, randomBlocks: 0 }) });
    const first = masks.blockSparse({
      blockSize: size,
      blocks: Array.from({ length: blocks }, (_, i) =>
        Array.from({ length: blocks }, (_, j) => inner(i * size) && j === 0),
      ),
    });
    const again = attentionState(query, key, value, { mask: first });
    const { output, lse } = mergeStates([bigBird, again, again, again]);
    expectAccurate(output.data, truth.output.data, float32.output.data, 'output');
    expectAccurate(lse.data, truth.lse.data, float32.lse.data, 'lse');
  });

  it('takes what there is of a short sequence, and draws every block about as often as any other', () => {
    expect(bigBirdRandomBlocks(3, 0)).toEqual([[], [], []]);
    expect(bigBirdRandomBlocks(5, 0)).toEqual([[], [], [], [], []]);
    expect(bigBirdRandomBlocks(6, 0)).toEqual([[], [3], [4], [1], [2], []]);
    const counts = new Array(100).fill(0);
    for (let head = 0; head < 200; head++) for (const j of bigBirdRandomBlocks(100, head).flat()) counts[j]++;
    for (const count of counts.slice(1, -1)) expect(Math.abs(count - 600)).toBeLessThan(120);
  });
});

describe('plan', () => {
  const sizes = { batch: BATCH, heads: HEADS, headDim: 9 };

  it.each(Object.entries(cases))('%s: counts what there is', (name, { mask, pattern, keys: [keys] = [200] }) => {
    const queries = name === 'blockSparse' ? 270 : keys;
    const { tiles, pairs, share, flops, time } = mask.plan({ ...sizes, queries, keys, queryOffset: 0 });
    const counts = { full: 0, partial: 0, skipped: 0, visible: 0 };
    for (let head = 0; head < BATCH * HEADS; head++) {
      const sees = pattern(Math.floor(head / HEADS), head % HEADS, keys);
      for (let i = 0; i < queries; i += tiles.queries) {
        for (let j = 0; j < keys; j += tiles.keys) {
          let [seen, of] = [0, 0];
          for (let p = i; p < Math.min(i + tiles.queries, queries); p++) {
            for (let q = j; q < Math.min(j + tiles.keys, keys); q++, of++) if (sees(p, q)) seen++;
          }
          counts[seen === of ? 'full' : seen > 0 ? 'partial' : 'skipped']++;
          counts.visible += seen;
        }
      }
    }
    expect({ ...tiles, visible: pairs.visible }).toEqual({ queries: 64, keys: 64, ...counts });
    expect(pairs.all).toBe(BATCH * HEADS * queries * keys);
    expect(pairs.computed).toBeGreaterThanOrEqual(pairs.visible);
    expect(pairs.computed).toBeLessThanOrEqual(pairs.all);
    expect([share, flops]).toEqual([pairs.computed / pairs.all, pairs.computed * 2 * 18]);
    expect(time).toBeGreaterThan(0);
  });

  it('computes no more than the groups of 8 queries and the blocks need', () => {
    const share = (mask: AttentionMask, length: number) => {
      const { pairs } = mask.plan({ queries: length, keys: length });
      return pairs.visible / pairs.computed;
    };
    expect(share(masks.causal(), 2048)).toBeGreaterThan(0.99);
    expect(share(masks.slidingWindow(128, 128), 2048)).toBeGreaterThan(0.96);
    expect(share(masks.bigBird(), 2048)).toBe(1);
    expect(share(masks.longformer({ window: 128, globalTokens: [0, 500, 1999] }), 2048)).toBeGreaterThan(0.9);
    expect(share(masks.dilated({ window: 64, dilation: 4 }), 2048)).toBeCloseTo(0.25, 1);
  });

  it('grows with the length, not with its square', () => {
    for (const mask of [
      masks.longformer({ window: 100, globalTokens: [0, 7] }),
      masks.longformer({ window: 50, dilation: 2, globalTokens: [0] }),
      masks.bigBird(),
      masks.dilated({ window: 60, dilation: 3 }),
    ]) {
      const [short, long] = [4096, 16_384].map((length) => mask.plan({ queries: length, keys: length }));
      expect(long.planBytes / short.planBytes).toBeLessThan(4.5);
      expect(long.flops / short.flops).toBeLessThan(4.5);
      expect(long.tiles.full + long.tiles.partial).toBeLessThan(4.5 * (short.tiles.full + short.tiles.partial));
    }
  });

  it('asks a predicate about every pair once', () => {
    const runtime = poisonedRuntime('simd');
    let asked = 0;
    const mask = masks.fromPredicate((_b, _h, i, j) => {
      asked++;
      return (i + j) % 3 > 0;
    });
    const [q, k] = [upload(runtime, random([2, 2, 9, 4], 1)), upload(runtime, random([2, 2, 30, 4], 2))];
    const first = attentionState(q, k, k, { mask }).output.toArray();
    for (let call = 0; call < 3; call++) {
      expect(attentionState(q, k, k, { mask, queryOffset: call }).output.data).toEqual(first);
      attentionState(q, k, k, { mask, causal: true, causalAlignment: 'top-left' });
    }
    expect(asked).toBe(2 * 2 * 2 * 9 * 30);
  });

  it('keeps plans apart that differ in sizes or in the position', () => {
    const mask = masks.chunked(8).and(masks.causal());
    const pairs = (queries: number, keys: number, queryOffset: number) =>
      mask.plan({ queries, keys, queryOffset }).pairs.visible;
    for (let again = 0; again < 2; again++) {
      expect([pairs(80, 80, 0), pairs(80, 88, 8), pairs(80, 80, -4), pairs(80, 40, 0)]).toEqual([360, 360, 334, 180]);
    }
  });
});

describe('drawing', () => {
  const mask = masks.longformer({ window: 1, globalTokens: [2] });

  it('in characters', () => {
    expect(mask.toString({ queries: 6, keys: 6 }).split('\n')).toEqual([
      '███···',
      '███···',
      '██████',
      '··███·',
      '··████',
      '··█·██',
    ]);
    const wide = masks.causal().toString({ queries: 256, keys: 256, width: 4 });
    expect(wide.split('\n')).toEqual(['▒···', '█▒··', '██▒·', '███▒']);
    expect(String(mask)).toBe('[AttentionMask]');
  });

  it('as SVG: one rectangle a stretch of equal cells', () => {
    const svg = masks.causal().toSVG({ queries: 256, keys: 256, width: 4 });
    expect(svg.match(/<rect x=/g)?.length).toBe(7);
    expect(svg).toContain('<rect x="0" y="24" width="24" height="8" fill-opacity="1"/>');
  });

  it('of one head', () => {
    const heads = masks.fromPredicate((_b, h, i, j) => j >= i + h);
    expect(heads.toString({ heads: 2, queries: 2, keys: 2, headIndex: 1 })).toBe('·█\n··');
    expect(heads.toString({ heads: 2, queries: 2, keys: 2 })).toBe('██\n·█');
  });
});
