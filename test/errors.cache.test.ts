import { describe, expect, it } from 'vitest';
import {
  attentionState,
  attentionWeights,
  createRuntimeSync,
  KVCache,
  RotaryEmbedding,
  scaledDotProductAttention,
} from 'wasm-attention';
import {
  float,
  foreign,
  key,
  type Loose,
  notTensors,
  ofOther,
  output,
  query,
  type Row,
  refuses,
  runtime,
} from './refused.ts';

const N = Number.NaN;
const good = { kvHeads: 2, headDim: 4, valueDim: 6, maxLength: 8 };
const make = (options: Loose) => () => new KVCache(runtime, options);

describe('KVCache', () => {
  const with_ = (options: Loose) => make({ ...good, ...options });
  const ring = { maxLength: undefined, window: 4 };
  const others = createRuntimeSync();
  refuses([
    ...[0, -1, 1.5, N, '2', null].flatMap((size): Row[] =>
      ['batch', 'kvHeads', 'headDim', 'valueDim', 'pageSize', 'pages', 'maxLength'].map((name) => [
        `${name} ${size}`,
        with_({ [name]: size }),
        RangeError,
        new RegExp(`KVCache: "${name}" is ${size}, not an integer ≥ 1`),
      ]),
    ),
    ['no kvHeads', with_({ kvHeads: undefined }), RangeError, /"kvHeads" is undefined/],
    ['no headDim', make({ kvHeads: 1, maxLength: 2 }), RangeError, /"headDim" is undefined/],
    ['headDim 65537', with_({ headDim: 65537 }), RangeError, /"headDim" is 65537, but at most 65536/],
    ['valueDim 65537', with_({ valueDim: 65537 }), RangeError, /"valueDim" is 65537, but at most 65536/],
    [
      'no length',
      with_({ maxLength: undefined }),
      RangeError,
      /"maxLength" or "window", one of the two, must be given/,
    ],
    ['two lengths', with_({ window: 4 }), RangeError, /"maxLength" or "window", one of the two/],
    ['window 0', with_({ ...ring, window: 0 }), RangeError, /"window" is 0, not an integer ≥ 1/],
    ['window Infinity', with_({ ...ring, window: Infinity }), RangeError, /"window" is Infinity/],
    ['sinks −1', with_({ ...ring, sinks: -1 }), RangeError, /"sinks" is -1/],
    ['sinks without window', with_({ sinks: 1 }), RangeError, /"sinks" are for a cache with a window/],
    ['dtype', with_({ dtype: 'int4' }), TypeError, /"dtype" must be 'float32', 'float16' or 'int8', but it is 'int4'/],
    ['dtype toString', with_({ dtype: 'toString' }), TypeError, /"dtype" must be/],
    ['rotary', with_({ rotary: { headDim: 4 } }), TypeError, /"rotary" must be a RotaryEmbedding, but it is a Object/],
    [
      'rotary of another headDim',
      with_({ rotary: new RotaryEmbedding(runtime, { headDim: 6 }) }),
      RangeError,
      /"rotary" has headDim 6, but the cache has 4/,
    ],
    [
      'rotary of two axes',
      with_({ rotary: new RotaryEmbedding(runtime, { headDim: 4, axes: { sections: [1, 1] } }) }),
      RangeError,
      /"rotary" has 2 axes, but a token of a cache has one position/,
    ],
    [
      'rotary of another runtime',
      with_({ rotary: new RotaryEmbedding(others, { headDim: 4 }) }),
      Error,
      /"rotary" belongs to another runtime/,
    ],
    [
      'too many rows',
      with_({ pages: 2 ** 20, pageSize: 2 ** 11 }),
      RangeError,
      /"pages" have room for .* less than 2³¹/,
    ],
    ...[1, 'yes', null].map(
      (sharedValues): Row => [
        `sharedValues ${sharedValues}`,
        with_({ sharedValues }),
        TypeError,
        /"sharedValues" must be true or false/,
      ],
    ),
    [
      'wide shared values',
      with_({ sharedValues: true }),
      RangeError,
      /"valueDim" is 6, more than the headDim 4 of keys/,
    ],
    [
      'rotary of shared values',
      make({
        kvHeads: 1,
        headDim: 4,
        maxLength: 1,
        sharedValues: true,
        rotary: new RotaryEmbedding(runtime, { headDim: 4 }),
      }),
      RangeError,
      /"rotary" would turn the values too/,
    ],
    ['memory', with_({ maxLength: 2 ** 20 }), RangeError, /memory limit/],
    ['memory in the second part', with_({ valueDim: 2 ** 16, kvHeads: 64 }), RangeError, /memory limit/],
    ['maxTokens', with_({ maxTokens: 4 }), TypeError, /unknown option "maxTokens"; there are batch, kvHeads, /],
    ['options null', make(null), TypeError, /"options" must be an object/],
    ['options undefined', make(undefined), TypeError, /"options" must be an object/],
  ]);
});

const cache = new KVCache(runtime, { ...good, pageSize: 2, pages: 3 });
const three = [float(1, 2, 3, 4), float(1, 2, 3, 6)] as const;
cache.append(...three);
const ring = new KVCache(runtime, { kvHeads: 2, headDim: 4, valueDim: 6, window: 2, sinks: 1 }).append(...three);
ring.append(...three);
const gone = new KVCache(runtime, good);
gone.dispose();
const used = () => [cache.lengths, cache.freePages, ring.lengths, ring.positions];
const before = used();

describe('KVCache.append', () => {
  const [k, v] = three;
  const into = (options: Loose) => () => cache.append(k, v, options);
  refuses([
    ...notTensors((tensor) => cache.append(tensor, v), 'key'),
    ...notTensors((tensor) => cache.append(k, tensor), 'value'),
    ofOther((tensor) => cache.append(tensor, v), 'key'),
    ofOther((tensor) => cache.append(k, tensor), 'value'),
    ['a cache', () => cache.append(cache as Loose, v), TypeError, /"key" must be a Tensor, but it is a KVCache/],
    ['rank', () => cache.append(float(2, 3, 4), v), RangeError, /"key" has rank 3/],
    ['headDim', () => cache.append(float(1, 2, 3, 5), v), RangeError, /"key" has shape \[1,2,3,5\], but \[1,2,3,4\]/],
    ['kvHeads', () => cache.append(float(1, 1, 3, 4), v), RangeError, /"key" has shape/],
    ['batch', () => cache.append(float(2, 2, 3, 4), v), RangeError, /"key" has shape/],
    [
      'valueDim',
      () => cache.append(k, float(1, 2, 3, 4)),
      RangeError,
      /"value" has shape \[1,2,3,4\], but \[1,2,3,6\]/,
    ],
    ['tokens of value', () => cache.append(k, float(1, 2, 2, 6)), RangeError, /"value" has shape \[1,2,2,6\]/],
    ['layout', into({ layout: 'bshd' }), RangeError, /"key" has shape \[1,2,3,4\], but \[1,2,2,4\] is needed/],
    ['layout sbhd', into({ layout: 'sbhd' }), TypeError, /"layout" must be 'bhsd' or 'bshd'/],
    ['length', into({ length: [3] }), TypeError, /unknown option "length"; there are layout, lengths/],
    ['options null', into(null), TypeError, /"options" must be an object/],
    ['lengths number', into({ lengths: 3 }), RangeError, /"lengths" must be one number per sequence \(1\)/],
    ['lengths null', into({ lengths: null }), RangeError, /"lengths" must be one number per sequence/],
    ['lengths of 2', into({ lengths: [1, 2] }), RangeError, /"lengths" must be one number per sequence/],
    ['lengths 4', into({ lengths: [4] }), RangeError, /"lengths\[0\]" is 4, but there are 3 tokens/],
    ['lengths NaN', into({ lengths: [N] }), RangeError, /"lengths\[0\]" is NaN/],
    [
      'too many tokens',
      () => cache.append(float(1, 2, 6, 4), float(1, 2, 6, 6)),
      RangeError,
      /KVCache.append: "key" has 6 tokens, which make sequence 0 9 long, but maxLength is 8/,
    ],
    [
      'too few pages',
      () => cache.append(float(1, 2, 5, 4), float(1, 2, 5, 6)),
      RangeError,
      /KVCache.append: 2 pages are needed, but 1 are free/,
    ],
    ['no value', () => cache.append(k), TypeError, /"value" must be a Tensor, but it is undefined/],
    [
      'value of shared values',
      () => {
        using shared = new KVCache(runtime, { kvHeads: 2, headDim: 4, maxLength: 8, sharedValues: true });
        shared.append(k, k);
      },
      RangeError,
      /"value" cannot be given: the values lie in the keys/,
    ],
    ['disposed', () => gone.append(k, v), Error, /KVCache.append: the cache was disposed/],
  ]);
  it('has changed nothing', () => expect(used()).toEqual(before));
});

describe('KVCache.truncate, fork, reset, dispose', () => {
  refuses([
    ...[-1, 0.5, N, Infinity].map(
      (length): Row => [`length ${length}`, () => cache.truncate(length), RangeError, /truncate: "length" is/],
    ),
    ['length text', () => cache.truncate('12' as Loose), RangeError, /"length" must be a number or one per sequence/],
    [
      'no length',
      () => cache.truncate(undefined as Loose),
      RangeError,
      /"length" must be a number or one per sequence/,
    ],
    ['two lengths', () => cache.truncate([1, 2]), RangeError, /"length" must be a number or one per sequence \(1\)/],
    ['lengths', () => cache.truncate([-1]), RangeError, /"length\[0\]" is -1/],
    ['sinks', () => ring.truncate(0), RangeError, /is 0, fewer than the sinks \(1\) of a ring that has turned/],
    ['source', () => cache.fork(1, 0), RangeError, /KVCache.fork: "source" is 1, but there are 1 sequences/],
    ['target', () => cache.fork(0, -1), RangeError, /"target" is -1/],
    ['target undefined', () => cache.fork(0, undefined as Loose), RangeError, /"target" is undefined/],
    ['ring', () => ring.fork(0, 0), RangeError, /"source" is in a cache with a window/],
    ['truncate disposed', () => gone.truncate(0), Error, /KVCache.truncate: the cache was disposed/],
    ['fork disposed', () => gone.fork(0, 0), Error, /KVCache.fork: the cache was disposed/],
    ['reset disposed', () => gone.reset(), Error, /KVCache.reset: the cache was disposed/],
    ['dispose twice', () => gone.dispose(), Error, /KVCache.dispose: the cache was disposed/],
  ]);
  it('has changed nothing', () => expect(used()).toEqual(before));
  it('disposes once by its symbol', () => {
    gone[Symbol.dispose]();
    expect(gone.disposed).toBe(true);
  });
});

describe.each<[string, (q: Loose, c: Loose, options?: Loose) => unknown]>([
  ['scaledDotProductAttention', (q, c, options) => scaledDotProductAttention(q, c, { output, ...options })],
  ['attentionState', (q, c, options) => attentionState(q, c, { output, ...options })],
])('%s of a cache', (name, call) => {
  refuses([
    ...notTensors((tensor) => call(tensor, cache), 'query'),
    ['headDim', () => call(float(1, 2, 3, 5), cache), RangeError, /"cache" has headDim 4, but "query" has headDim 5/],
    ['batch', () => call(float(2, 2, 3, 4), cache), RangeError, /"cache" has batch 1, but "query" has batch 2/],
    ['heads', () => call(float(1, 3, 3, 4), cache), RangeError, /"query" has 3 heads, .* multiple of kvHeads 2/],
    [
      'keyLengths',
      () => call(query, cache, { keyLengths: [1] }),
      RangeError,
      /"keyLengths" cannot be given with a cache/,
    ],
    ['mask of other keys', () => call(query, cache, { bias: float(4) }), RangeError, /"bias" has shape \[4\]/],
    ['value', () => call(query, cache, key), TypeError, /unknown option/],
    ['valueDim', () => call(query, cache, { valueDim: 7 }), RangeError, /"valueDim" is 7, but a value has 6 columns/],
    ['output', () => call(query, cache, { output: float(1, 2, 3, 4) }), RangeError, /"output" has shape/],
    ['output over query', () => call(query, cache, { output: query }), RangeError, /"output"/],
    ['disposed', () => call(query, gone), Error, new RegExp(`${name}: the cache was disposed`)],
    ['another runtime', () => call(foreign, cache), Error, new RegExp(`${name}: the cache belongs to another runtime`)],
    [
      'cache as value',
      () => scaledDotProductAttention(query, key, cache as Loose),
      TypeError,
      /"value" must be a Tensor/,
    ],
    [
      'weights',
      () => attentionWeights(query, cache as Loose),
      TypeError,
      /"key" must be a Tensor, but it is a KVCache/,
    ],
  ]);
});
