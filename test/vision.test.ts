import { describe, expect, it } from 'vitest';
import {
  CrossAttention,
  type CrossAttentionOptions,
  groupNorm,
  PatchEmbedding,
  type PatchEmbeddingOptions,
  resizePositions,
} from 'wasm-attention';
import {
  crossAttention,
  type NdArray,
  patchEmbedding,
  groupNorm as referenceGroupNorm,
  resizeGrid,
} from 'wasm-attention/reference';
import { checkLayer, randomMask, randomState, uploadMask } from './layerSupport.ts';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  /** Without `keys` it attends to itself. */
  function checkCross(options: CrossAttentionOptions, [batch, queries, keys]: number[], mask?: NdArray): void {
    const layer = new CrossAttention(runtime, options);
    const state = randomState(layer, 1);
    const x = random([batch, queries, layer.queryDim], 8);
    const context = keys === undefined ? undefined : random([batch, keys, layer.contextDim], 9);
    checkLayer(
      layer,
      state,
      () => layer.forward(upload(runtime, x), context && upload(runtime, context), mask && uploadMask(runtime, mask)),
      (precision) => crossAttention(x, context, state, { ...options, mask, precision }),
    );
  }

  it('cross-attention of many sizes', () => {
    for (const [queryDim, contextDim, heads, headDim] of [
      [1, 1, 1, 1],
      [20, 13, 4, 5],
      [32, 48, 1, 40],
      [15, 7, 3, 59],
    ])
      checkCross({ queryDim, contextDim, heads, headDim }, [2, 33, 17]);
    for (const sizes of [
      [1, 1, 1],
      [3, 0, 5],
      [0, 3, 5],
      [2, 65, 77],
      [2, 9, 129],
    ])
      checkCross({ queryDim: 20, contextDim: 13, heads: 2, headDim: 8 }, sizes);
  });

  it('cross-attention with biases, mask, residual and rescale', () => {
    const sizes = { queryDim: 20, contextDim: 13, heads: 2, headDim: 8 };
    const mask = randomMask([3, 19], 5);
    mask.data.fill(0, 19, 38);
    checkCross(sizes, [3, 21, 19], mask);
    checkCross({ ...sizes, bias: true, residual: true }, [3, 21, 19], mask);
    checkCross({ ...sizes, residual: true, rescale: Math.SQRT2 }, [3, 21, 19]);
    checkCross({ ...sizes, rescale: -3 }, [3, 21, 19]);
  });

  it('group normalisation', () => {
    for (const [channels, groups] of [
      [1, 1],
      [6, 2],
      [8, 8],
      [33, 11],
      [64, 32],
    ]) {
      for (const offset of [0, 30]) {
        for (const rows of [1, 7, 65]) {
          const input = {
            shape: [3, rows, channels],
            data: random([3, rows, channels], 1).data.map((x) => x + offset),
          };
          const [weight, bias] = [random([channels], 2), random([channels], 3)];
          runtime.scope(() => {
            const [x, w, b] = [input, weight, bias].map((array) => upload(runtime, array));
            for (const [ours, theirs] of [[b, bias] as const, []]) {
              for (const epsilon of [undefined, 0.1]) {
                const reference = (precision?: 'float32') =>
                  referenceGroupNorm(input, groups, weight, theirs, { epsilon, precision }).data;
                expectAccurate(groupNorm(x, groups, w, ours, epsilon).data, reference(), reference('float32'));
              }
            }
            expect(groupNorm(x.view([3, 1, rows, channels]), groups, w, b).data).toEqual(
              groupNorm(x, groups, w, b).data,
            );
          });
        }
      }
    }
    for (const shape of [
      [0, 3, 2],
      [2, 0, 2],
    ])
      runtime.scope(() => {
        expect(groupNorm(runtime.empty(shape), 1, runtime.zeros([2]), runtime.zeros([2])).shape).toEqual(shape);
      });
    expect(runtime.memory.usedBytes).toBe(0);
  });

  it('the middle of an autoencoder, and normalised contexts', () => {
    const middle = { queryDim: 24, heads: 1, headDim: 24, bias: true, normGroups: 8, epsilon: 1e-6, residual: true };
    for (const sizes of [
      [2, 33],
      [1, 1],
      [0, 3],
      [3, 70],
    ])
      checkCross(middle, sizes);
    checkCross({ ...middle, rescale: 2 }, [2, 20, 9]);
    const sizes = { queryDim: 20, contextDim: 12, heads: 2, headDim: 8, normGroups: 5 };
    for (const contextNorm of ['layer_norm', 'group_norm'] as const) {
      const contextNormGroups = contextNorm === 'group_norm' ? 3 : undefined;
      checkCross({ ...sizes, contextNorm, contextNormGroups }, [3, 21, 19], randomMask([3, 19], 5));
      checkCross({ ...sizes, normGroups: undefined, contextNorm, contextNormGroups }, [2, 9, 1]);
    }
    // A context that is not given is the normalised input, whatever norm_cross is.
    checkCross({ queryDim: 12, heads: 3, headDim: 4, normGroups: 3, contextNorm: 'layer_norm' }, [2, 17]);
  });

  it('attends to its own tokens without a context', () => {
    const layer = new CrossAttention(runtime, { queryDim: 6, heads: 2, headDim: 4 });
    layer.load(randomState(layer, 1));
    runtime.scope(() => {
      const x = upload(runtime, random([2, 5, 6], 2));
      expect(layer.forward(x).data).toEqual(layer.forward(x, x).data);
    });
    layer.dispose();
  });

  function checkPatches(options: PatchEmbeddingOptions, images: number[]): void {
    const layer = new PatchEmbedding(runtime, options);
    const state = randomState(layer, 1);
    const input = random(images, 9);
    const { grid } = layer;
    const { embedPrefix, antialias } = options;
    checkLayer(
      layer,
      state,
      () => layer.forward(upload(runtime, input)),
      (precision) => patchEmbedding(input, state, { grid, embedPrefix, antialias, precision }),
    );
  }

  it('patch embedding', () => {
    const sizes = { imageSize: 12, patchSize: 4, embedDim: 10 };
    checkPatches(sizes, [2, 3, 12, 12]);
    checkPatches({ ...sizes, classToken: false }, [2, 3, 12, 12]);
    checkPatches({ ...sizes, registerTokens: 3, bias: false }, [2, 3, 12, 12]);
    checkPatches({ ...sizes, registerTokens: 2, embedPrefix: false }, [2, 3, 12, 12]);
    checkPatches({ imageSize: [6, 10], patchSize: 2, embedDim: 7, channels: 1 }, [3, 1, 6, 10]);
    checkPatches({ imageSize: 5, patchSize: 1, embedDim: 3, channels: 5 }, [2, 5, 5, 5]);
    checkPatches({ imageSize: 7, patchSize: 7, embedDim: 130 }, [8, 3, 7, 7]);
    checkPatches(sizes, [0, 3, 12, 12]);
  });

  it('patch embedding of images of another size', () => {
    for (const antialias of [true, false]) {
      for (const embedPrefix of [true, false]) {
        const options = { imageSize: 12, patchSize: 2, embedDim: 10, registerTokens: 1, antialias, embedPrefix };
        for (const size of [
          [16, 16],
          [4, 6],
          [20, 2],
        ])
          checkPatches(options, [2, 3, ...size]);
      }
    }
  });

  it('has the names of timm', () => {
    const options = { imageSize: 32, patchSize: 16, embedDim: 8, registerTokens: 4 };
    const layer = new PatchEmbedding(runtime, options);
    expect(layer.shapes).toEqual({
      'patch_embed.proj.weight': [8, 3, 16, 16],
      'patch_embed.proj.bias': [8],
      cls_token: [1, 1, 8],
      reg_token: [1, 4, 8],
      pos_embed: [1, 9, 8],
    });
    layer.load({ ...randomState(layer, 1), 'blocks.0.norm1.weight': [1] }, { strict: false });
    layer.dispose();
    expect(Object.keys(new CrossAttention(runtime, { queryDim: 1, heads: 1, headDim: 1 }).shapes)).toEqual([
      'to_q.weight',
      'to_k.weight',
      'to_v.weight',
      'to_out.0.weight',
      'to_out.0.bias',
    ]);
    // As in the autoencoder of Stable Diffusion: decoder.mid_block.attentions.0.
    const middle = { queryDim: 512, heads: 1, headDim: 512, bias: true, normGroups: 32, epsilon: 1e-6, residual: true };
    expect(new CrossAttention(runtime, middle).shapes).toEqual({
      'group_norm.weight': [512],
      'group_norm.bias': [512],
      'to_q.weight': [512, 512],
      'to_q.bias': [512],
      'to_k.weight': [512, 512],
      'to_k.bias': [512],
      'to_v.weight': [512, 512],
      'to_v.bias': [512],
      'to_out.0.weight': [512, 512],
      'to_out.0.bias': [512],
    });
  });

  it('resizes a table of positions', () => {
    const table = random([2 + 4 * 5, 3], 1);
    for (const antialias of [true, false]) {
      const grid = { shape: [20, 3], data: table.data.subarray(6) };
      const expected = Float32Array.from(resizeGrid(grid, [4, 5], [7, 3], antialias).data);
      runtime.scope(() => {
        const given = upload(runtime, table);
        const { shape, data } = resizePositions(given, { from: [4, 5], to: [7, 3], prefix: 2, antialias });
        expect(shape).toEqual([23, 3]);
        expect(data).toEqual(Float32Array.of(...table.data.subarray(0, 6), ...expected));
        const same = resizePositions(given, { from: [4, 5], to: [4, 5], prefix: 2, antialias });
        expect(same.data).toEqual(table.data);
      });
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });
});
