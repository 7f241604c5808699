import { describe, expect, it } from 'vitest';
import {
  CrossAttention,
  createRuntimeSync,
  GatedAttention,
  groupNorm,
  KVCache,
  type Layer,
  layerNorm,
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
  MultiHeadLatentAttention,
  PatchEmbedding,
  resizePositions,
  rmsNorm,
  TriangleAttention,
} from 'wasm-attention';
import { randomState } from './layerSupport.ts';
import { float, type Loose, notTensors, ofOther, type Row, refuses, runtime } from './refused.ts';
import { random } from './support.ts';

const loaded = <L extends Layer>(layer: L): L => layer.load(randomState(layer, 1));
const mask = (...shape: number[]) => runtime.zeros(shape, 'boolean');
const masks = { short: mask(2, 2), right: mask(2, 3), pairs: mask(3, 2) };

/** Masks of the wrong kind, where [2, 3] is right. */
const maskRows = (call: (mask: Loose) => unknown, shape = '2,3'): Row[] => [
  ['mask null', () => call(null), TypeError, /"mask" must be a Tensor, but it is null/],
  ['mask float32', () => call(float(2, 3)), TypeError, /"mask" has dtype float32, but boolean is needed/],
  ['mask shape', () => call(masks.short), RangeError, new RegExp(`"mask" has shape \\[2,2\\], but \\[${shape}\\]`)],
];

describe('layerNorm, groupNorm and rmsNorm', () => {
  const [input, weight] = [float(2, 4), float(4)];
  refuses([
    ...notTensors((tensor) => layerNorm(tensor, weight), 'input'),
    ...notTensors((tensor) => layerNorm(input, tensor), 'weight'),
    ...notTensors((tensor) => rmsNorm(input, tensor), 'weight'),
    ofOther((tensor) => layerNorm(input, weight, tensor), 'bias'),
    ['bias null', () => layerNorm(input, weight, null as Loose), TypeError, /"bias" must be a Tensor/],
    ['bias', () => layerNorm(input, weight, float(3)), RangeError, /"bias" has shape \[3\], but \[4\] is needed/],
    ['features', () => rmsNorm(float(2, 3), weight), RangeError, /"input" has shape \[2,3\], but "weight" needs 4/],
    ...notTensors((tensor) => groupNorm(tensor, 2, weight), 'input'),
    ...notTensors((tensor) => groupNorm(input, 2, tensor), 'weight'),
    ofOther((tensor) => groupNorm(input, 2, weight, tensor), 'bias'),
    ['groups 3', () => groupNorm(input, 3, weight), RangeError, /groupNorm: "groups" is 3, .* not divide 4 channels/],
    ['groups 0', () => groupNorm(input, 0, weight), RangeError, /"groups" is 0, not an integer ≥ 1/],
    ['no groups', () => groupNorm(input, undefined as Loose, weight), RangeError, /"groups" is undefined/],
    ['rank 1', () => groupNorm(weight, 2, weight), RangeError, /"input" has shape \[4\], but a batch is needed/],
    ['epsilon of groups', () => groupNorm(input, 2, weight, undefined, 0), RangeError, /"epsilon" is 0/],
    ['rank 0', () => layerNorm(float(), weight), RangeError, /"input" has shape \[\]/],
    ['no features', () => layerNorm(float(2, 0), float(0)), RangeError, /"weight" is empty/],
    ...[0, -1, Number.NaN].map(
      (epsilon): Row => [
        `epsilon ${epsilon}`,
        () => layerNorm(input, weight, undefined, epsilon),
        RangeError,
        /epsilon/,
      ],
    ),
  ]);
});

describe('Layer.load', () => {
  const layer = loaded(new CrossAttention(runtime, { queryDim: 4, heads: 1, headDim: 2 }));
  const state = randomState(layer, 1, 'a.');
  const load = (given: Loose, options?: Loose) => () => layer.load(given, options);
  refuses([
    ['no state', load(undefined), TypeError, /CrossAttention.load: "state" must be an object/],
    ['options null', load(state, null), TypeError, /"options" must be an object/],
    ['option', load(state, { Strict: false }), TypeError, /unknown option "Strict"/],
    ['prefix', load(state, { prefix: 1 }), TypeError, /"prefix" must be a string/],
    ['without the prefix', load(state), RangeError, /"a.to_q.weight" is not a parameter; there are to_q.weight/],
    ['another prefix', load(state, { prefix: 'b.' }), RangeError, /"b.to_q.weight" is missing/],
    ['unknown', load({ ...state, 'a.x': [1] }, { prefix: 'a.' }), RangeError, /"a.x" is not a parameter/],
    [
      'shape',
      load({ ...state, 'a.to_q.weight': float(4, 2) }, { prefix: 'a.' }),
      RangeError,
      /"a.to_q.weight" has shape \[4,2\], but \[2,4\] is needed/,
    ],
    [
      'null',
      load({ ...state, 'a.to_q.weight': null }, { prefix: 'a.' }),
      TypeError,
      /"a.to_q.weight" must be an array/,
    ],
    [
      'data undefined',
      load({ ...state, 'a.to_q.weight': { data: 1 } }, { prefix: 'a.' }),
      RangeError,
      /undefined elem/,
    ],
  ]);
});

describe('GatedAttention', () => {
  const make = (options: Loose) => () => new GatedAttention(runtime, options);
  const layer = loaded(new GatedAttention(runtime, { queryDim: 4, keyDim: 5, heads: 2, headDim: 3 }));
  const [x, y] = [float(2, 6, 4), float(2, 3, 5)];
  refuses([
    ['options', make(undefined), TypeError, /"options" must be an object/],
    ['queryDim', make({ heads: 1, headDim: 1 }), RangeError, /"queryDim" is undefined/],
    ['heads 0', make({ queryDim: 4, heads: 0, headDim: 1 }), RangeError, /"heads" is 0/],
    ['gated', make({ queryDim: 4, heads: 1, headDim: 1, gated: true }), TypeError, /unknown option "gated"/],
    [
      'before load',
      () => new GatedAttention(runtime, { queryDim: 4, heads: 1, headDim: 1 }).forward(x, x),
      Error,
      /GatedAttention.forward: no parameters; call load first/,
    ],
    ...notTensors((tensor) => layer.forward(tensor, y), 'query'),
    ...notTensors((tensor) => layer.forward(x, tensor), 'key'),
    ['queryDim of query', () => layer.forward(y, y), RangeError, /"query" has shape \[2,3,5\], but \[2,3,4\]/],
    ['keyDim of key', () => layer.forward(x, x), RangeError, /"key" has shape \[2,6,4\], but \[2,6,5\]/],
    ['batch of key', () => layer.forward(x, float(1, 3, 5)), RangeError, /"key" has shape \[1,3,5\], but \[2,3,5\]/],
    ...maskRows((given) => layer.forward(x, y, { mask: given })),
    ['bias', () => layer.forward(x, y, { bias: float(3, 6, 3) }), RangeError, /"bias" .* not broadcast to \[2,2,6,3\]/],
    ['bias null', () => layer.forward(x, y, { bias: null as Loose }), TypeError, /"bias" must be a Tensor/],
    ['pairBias', () => layer.forward(x, y, { pairBias: x } as Loose), TypeError, /unknown option "pairBias"/],
  ]);
});

describe('AlphaFold layers', () => {
  const sizes = { msaDim: 4, heads: 2, headDim: 3 };
  const row = loaded(new MSARowAttentionWithPairBias(runtime, { ...sizes, pairDim: 5 }));
  const [msa, pair] = [float(2, 3, 4), float(3, 3, 5)];
  refuses([
    [
      'pairDim',
      () => new MSARowAttentionWithPairBias(runtime, sizes as Loose),
      RangeError,
      /MSARowAttentionWithPairBias: "pairDim" is undefined/,
    ],
    ...notTensors((tensor) => row.forward(tensor, pair), 'msa'),
    ...notTensors((tensor) => row.forward(msa, tensor), 'pair'),
    ['msa', () => row.forward(float(2, 3, 5), pair), RangeError, /"msa" has shape \[2,3,5\], but \[2,3,4\]/],
    ['pair', () => row.forward(msa, float(2, 3, 5)), RangeError, /"pair" has shape \[2,3,5\], but \[3,3,5\]/],
    ...maskRows((given) => row.forward(msa, pair, given)),
    ...[MSAColumnAttention, MSAColumnGlobalAttention].flatMap((Column): Row[] => {
      const layer = loaded(new Column(runtime, sizes));
      return [
        [
          'pairDim',
          () => new Column(runtime, { ...sizes, pairDim: 1 } as Loose),
          TypeError,
          /unknown option "pairDim"/,
        ],
        ['headDim', () => new Column(runtime, { ...sizes, headDim: 0.5 }), RangeError, /"headDim" is 0.5/],
        ['before load', () => new Column(runtime, sizes).forward(msa), Error, /no parameters; call load first/],
        ...notTensors((tensor) => layer.forward(tensor), 'msa'),
        ofOther((tensor) => layer.forward(tensor), 'msa'),
        ...maskRows((given) => layer.forward(msa, given)),
      ];
    }),
  ]);
  const triangle = { pairDim: 5, heads: 2, headDim: 3, node: 'ending' as const };
  const layer = loaded(new TriangleAttention(runtime, triangle));
  refuses([
    ['node', () => new TriangleAttention(runtime, { ...triangle, node: 'end' as Loose }), TypeError, /"node" must be/],
    [
      'endingBias',
      () => new TriangleAttention(runtime, { ...triangle, endingBias: 'jk' as Loose }),
      TypeError,
      /"endingBias" must be 'ki' or 'ik', but it is 'jk'/,
    ],
    [
      'endingBias around the starting node',
      () => new TriangleAttention(runtime, { ...triangle, node: 'starting', endingBias: 'ik' }),
      RangeError,
      /"endingBias" is for the ending node/,
    ],
    ...notTensors((tensor) => layer.forward(tensor), 'pair'),
    ['not square', () => layer.forward(float(3, 2, 5)), RangeError, /"pair" has shape \[3,2,5\], but \[3,3,5\]/],
    ['mask', () => layer.forward(pair, masks.pairs), RangeError, /"mask" has shape \[3,2\], but \[3,3\]/],
  ]);
});

describe('CrossAttention', () => {
  const sizes = { queryDim: 4, contextDim: 5, heads: 2, headDim: 3 };
  const make = (options: Loose) => () => new CrossAttention(runtime, { ...sizes, ...options });
  const layer = loaded(new CrossAttention(runtime, sizes));
  const [x, context] = [float(2, 6, 4), float(2, 3, 5)];
  refuses([
    ['heads', make({ heads: -1 }), RangeError, /"heads" is -1/],
    ['bias', make({ bias: 1 }), TypeError, /"bias" must be true or false/],
    ['residual', make({ residual: 'yes' }), TypeError, /"residual" must be true or false/],
    ['rescale 0', make({ rescale: 0 }), RangeError, /"rescale" is 0/],
    ['rescale', make({ rescale: Number.NaN }), RangeError, /"rescale" is NaN/],
    ['normGroups 0', make({ normGroups: 0 }), RangeError, /"normGroups" is 0, not an integer ≥ 1/],
    ['normGroups 3', make({ normGroups: 3 }), RangeError, /"normGroups" is 3, which does not divide 4 channels/],
    ['epsilon', make({ normGroups: 2, epsilon: 0 }), RangeError, /"epsilon" is 0, not greater than 0/],
    ['contextNorm', make({ contextNorm: true }), TypeError, /"contextNorm" must be 'layer_norm' or 'group_norm'/],
    [
      'contextNormGroups',
      make({ contextNorm: 'group_norm' }),
      RangeError,
      /"contextNormGroups" is 32, which does not divide 5 channels/,
    ],
    ['dim_head', make({ dim_head: 3 }), TypeError, /unknown option "dim_head"/],
    ['before load', () => make({})().forward(x, context), Error, /CrossAttention.forward: no parameters/],
    ...notTensors((tensor) => layer.forward(tensor, context), 'input'),
    ...notTensors((tensor) => layer.forward(x, tensor), 'context').slice(1),
    ['no context', () => layer.forward(x), RangeError, /"context" has shape \[2,6,4\], but \[2,6,5\]/],
    ['input', () => layer.forward(context, context), RangeError, /"input" has shape \[2,3,5\], but \[2,3,4\]/],
    ...maskRows((given) => layer.forward(x, context, given)),
  ]);
});

describe('PatchEmbedding and resizePositions', () => {
  const sizes = { imageSize: 4, patchSize: 2, embedDim: 3 };
  const make = (options: Loose) => () => new PatchEmbedding(runtime, { ...sizes, ...options });
  const layer = loaded(new PatchEmbedding(runtime, sizes));
  const table = float(7, 3);
  const grids = { from: [2, 3] as const, to: [4, 4] as const, prefix: 1 };
  const resize = (options: Loose) => () => resizePositions(table, { ...grids, ...options });
  refuses([
    ['imageSize', make({ imageSize: 5 }), RangeError, /"imageSize" is 5 by 5, not multiples of the patch size 2/],
    ['imageSize 0', make({ imageSize: 0 }), RangeError, /"imageSize\[0\]" is 0/],
    ['imageSize of 3', make({ imageSize: [4, 4, 4] }), TypeError, /"imageSize" must be a pair/],
    ['imageSize missing', make({ imageSize: undefined }), TypeError, /"imageSize" must be a pair/],
    ['patchSize', make({ patchSize: 0 }), RangeError, /"patchSize" is 0/],
    ['registerTokens', make({ registerTokens: -1 }), RangeError, /"registerTokens" is -1/],
    ['classToken', make({ classToken: 1 }), TypeError, /"classToken" must be true or false/],
    ['no_embed_class', make({ no_embed_class: true }), TypeError, /unknown option "no_embed_class"/],
    ['before load', () => make({})().forward(float(1, 3, 4, 4)), Error, /PatchEmbedding.forward: no parameters/],
    ...notTensors((tensor) => layer.forward(tensor), 'images'),
    ['channels', () => layer.forward(float(1, 1, 4, 4)), RangeError, /"images" has shape \[1,1,4,4\], but \[1,3,4,4\]/],
    ['height', () => layer.forward(float(1, 3, 5, 4)), RangeError, /"images" is 5 by 4, not multiples/],
    ['no width', () => layer.forward(float(1, 3, 4, 0)), RangeError, /"images" is 4 by 0, not multiples/],
    ...notTensors((tensor) => resizePositions(tensor, grids), 'table'),
    ['from', resize({ from: 2 }), TypeError, /"from" must be a pair \[height, width\]/],
    ['to', resize({ to: [4, 0] }), RangeError, /"to\[1\]" is 0/],
    ['prefix', resize({ prefix: 0 }), RangeError, /"table" has shape \[7,3\], but \[6,3\]/],
    ['prefix −1', resize({ prefix: -1 }), RangeError, /"prefix" is -1/],
    ['antialias', resize({ antialias: 1 }), TypeError, /"antialias" must be true or false/],
    ['mode', resize({ mode: 'bicubic' }), TypeError, /unknown option "mode"/],
  ]);
});

describe('MultiHeadLatentAttention', () => {
  const sizes = { hiddenDim: 6, heads: 2, latentDim: 4, nopeDim: 3, ropeDim: 2, valueDim: 3 };
  const make = (options: Loose) => () => new MultiHeadLatentAttention(runtime, { ...sizes, ...options });
  const layer = loaded(make({})());
  const [x, latents] = [float(2, 3, 6), float(2, 5, 6)];
  const attend = (options: Loose) => () => layer.attend(x, latents, options);
  const shape = { batch: 2, kvHeads: 1, headDim: 6, valueDim: 4, sharedValues: true, maxLength: 4 };
  const alike = (options: Loose) => new KVCache(runtime, { ...shape, ...options });
  const cached = (cache: Loose, options?: Loose) => () => layer.forward(x, { cache, ...options });
  const gone = alike({});
  gone.dispose();
  const foreign = new KVCache(createRuntimeSync(), shape);
  refuses([
    ['latentDim', make({ latentDim: 0 }), RangeError, /"latentDim" is 0/],
    ['queryRank', make({ queryRank: 0 }), RangeError, /"queryRank" is 0/],
    ['ropeDim odd', make({ ropeDim: 3 }), RangeError, /"rotaryDim" is 3, not even/],
    ['rope', make({ rope: { headDim: 3 } }), TypeError, /unknown option "headDim"/],
    ['scaling', make({ rope: { scaling: { type: 'x' } } }), TypeError, /"scaling.type" must be/],
    ['scale', make({ scale: Number.NaN }), RangeError, /"scale" is NaN/],
    ['epsilon', make({ epsilon: 0 }), RangeError, /"epsilon" is 0/],
    ['q_lora_rank', make({ q_lora_rank: 4 }), TypeError, /unknown option "q_lora_rank"/],
    ['before load', () => make({})().forward(x), Error, /no parameters; call load first/],
    ...notTensors((tensor) => layer.forward(tensor), 'input'),
    ...notTensors((tensor) => layer.latents(tensor), 'input'),
    ...notTensors((tensor) => layer.attend(x, tensor), 'latents'),
    ['hiddenDim', () => layer.forward(float(2, 3, 5)), RangeError, /"input" has shape \[2,3,5\], but \[2,3,6\]/],
    ['latents', () => layer.attend(x, float(2, 5, 4)), RangeError, /"latents" has shape \[2,5,4\], but \[2,5,6\]/],
    ['offset', attend({ offset: 0.5 }), RangeError, /"offset" must be an integer or one per batch \(2\), .* 0.5/],
    ['offset of 1', attend({ offset: [1] }), RangeError, /"offset" must be an integer or one per batch/],
    ['offset of latents', () => layer.latents(x, { offset: 1e30 }), RangeError, /"offset" must be an integer/],
    ['keyLengths', attend({ keyLengths: [1] }), RangeError, /"keyLengths" must be one length per batch \(2\)/],
    ['option', attend({ isCausal: true }), TypeError, /unknown option "isCausal"/],
    ['offset of forward', () => layer.forward(x, { offset: 1 } as Loose), TypeError, /unknown option "offset"/],
    ['no cache', cached(null), TypeError, /forward: "cache" must be a KVCache, but it is null/],
    ['tensor as cache', cached(latents), TypeError, /"cache" must be a KVCache, but it is a Tensor/],
    ['batch of cache', cached(layer.cache({ maxLength: 4 })), RangeError, /"cache" has batch 1, but 2 is needed/],
    ['headDim of cache', cached(alike({ headDim: 7 })), RangeError, /"cache" has headDim 7, but 6 is needed/],
    ['valueDim of cache', cached(alike({ valueDim: 6 })), RangeError, /"cache" has valueDim 6, but 4 is needed/],
    ['heads of cache', cached(alike({ kvHeads: 2 })), RangeError, /"cache" has kvHeads 2, but 1 is needed/],
    [
      'separate values',
      cached(alike({ sharedValues: false })),
      RangeError,
      /"cache" has sharedValues false, but true is needed/,
    ],
    ['disposed cache', cached(gone), Error, /MultiHeadLatentAttention.forward: the cache was disposed/],
    ['foreign cache', cached(foreign), Error, /forward: the cache belongs to another runtime/],
    [
      'full cache',
      cached(layer.cache({ batch: 2, maxLength: 2 })),
      RangeError,
      /"key" has 3 tokens, .* maxLength is 2/,
    ],
    [
      'keyLengths with cache',
      cached(alike({}), { keyLengths: [4, 1] }),
      RangeError,
      /forward: "keyLengths\[0\]" is 4, but there are 3 keys/,
    ],
    [
      'heads of a new cache',
      () => layer.cache({ maxLength: 2, kvHeads: 2 } as Loose),
      TypeError,
      /unknown option "kvHeads"/,
    ],
  ]);
});

describe('memory', () => {
  it('a layer that does not fit leaves nothing, derived parameters too', () => {
    const small = createRuntimeSync({ memory: { maximumBytes: 65536 } });
    const options = { hiddenDim: 4, heads: 2, latentDim: 64, nopeDim: 64, ropeDim: 2, valueDim: 8 };
    const layer = new MultiHeadLatentAttention(small, options);
    expect(() => layer.load(randomState(layer, 1))).toThrow(/memory limit/);
    expect(small.memory.usedBytes).toBe(0);
    expect(() => layer.forward(small.zeros([1, 1, 4]))).toThrow(/call load first/);
  });

  it('a forward that does not fit frees what it made', () => {
    const small = createRuntimeSync({ memory: { maximumBytes: 2 * 65536 } });
    const layer = new TriangleAttention(small, { pairDim: 8, heads: 2, headDim: 4, node: 'ending' });
    layer.load(randomState(layer, 1));
    const pair = small.tensor([30, 30, 8], random([30, 30, 8], 1).data);
    const used = small.memory.usedBytes;
    for (let i = 0; i < 3; i++) {
      expect(() => layer.forward(pair)).toThrow(/memory limit/);
      expect(small.memory.usedBytes).toBe(used);
    }
    pair.dispose();
    expect(layer.forward(small.zeros([2, 2, 8])).size).toBe(32);
  });
});
