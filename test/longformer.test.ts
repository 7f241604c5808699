import { describe, expect, it } from 'vitest';
import { LongformerAttention, type LongformerAttentionOptions } from 'wasm-attention';
import { longformerAttention, type NdArray } from 'wasm-attention/reference';
import { type Loose, notTensors, ofOther, refuses, runtime as small } from './refused.ts';
import { builds, expectAccurate, poisonedRuntime, random, upload } from './support.ts';

describe.each(builds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function check(
    [batch, length]: [number, number],
    sizes: LongformerAttentionOptions,
    globalTokens: number[] | number[][] = [],
    mask?: NdArray,
  ): void {
    const layer = new LongformerAttention(runtime, sizes);
    const range = 2 / Math.sqrt(sizes.embedDim);
    const state = Object.fromEntries(
      Object.entries(layer.shapes).map(([name, shape], seed) => [name, random(shape, seed, range)]),
    );
    layer.load(state);
    const hidden = random([batch, length, sizes.embedDim], 20);
    const perBatch = (
      Array.isArray(globalTokens[0]) ? globalTokens : Array.from({ length: batch }, () => globalTokens)
    ) as number[][];
    const options = { ...sizes, globalTokens: perBatch, mask };
    const truth = longformerAttention(hidden, state, options);
    const float32 = longformerAttention(hidden, state, { ...options, precision: 'float32' });
    const used = runtime.memory.usedBytes;
    runtime.scope(() => {
      const real = mask && runtime.tensor(mask.shape, mask.data, 'boolean');
      const given = upload(runtime, hidden);
      for (let call = 0; call < 2; call++) {
        const output = layer.forward(given, { globalTokens, mask: real });
        expect(output.shape).toEqual([batch, length, sizes.embedDim]);
        expect(output.owner).toBe(output);
        expectAccurate(output.data, truth.data, float32.data, 'output', 1e-6);
      }
    });
    expect(runtime.memory.usedBytes).toBe(used);
    layer.dispose();
  }

  it('a window, dilated or not', () => {
    check([1, 150], { embedDim: 12, heads: 3, window: 10 });
    check([2, 70], { embedDim: 8, heads: 1, window: 4, dilation: 3 });
    check([1, 5], { embedDim: 8, heads: 2, window: 0 });
  });

  it('global tokens, for all batches or for each', () => {
    check([2, 150], { embedDim: 12, heads: 3, window: 10 }, [0, 149, 70]);
    check([2, 150], { embedDim: 12, heads: 3, window: 7, dilation: 2 }, [[64], []]);
    check([2, 90], { embedDim: 12, heads: 3, window: 7 }, [[], [0, 1, 2, 3]]);
  });

  it('tokens that are not real', () => {
    const ragged = { shape: [2, 90], data: Array.from({ length: 180 }, (_, at) => Number(at < 70 || at % 7 > 1)) };
    check([2, 90], { embedDim: 12, heads: 3, window: 10 }, [[0, 3], [2]], ragged);
    check([2, 90], { embedDim: 12, heads: 3, window: 10 }, [], ragged);
    // A global token that is not real, and a batch of which none is.
    check([2, 90], { embedDim: 12, heads: 3, window: 5 }, [0, 80], {
      shape: [2, 90],
      data: Array.from({ length: 180 }, (_, at) => Number(at < 60)),
    });
  });
});

describe('LongformerAttention', () => {
  const make = (options: Loose) => () => new LongformerAttention(small, options);
  const layer = new LongformerAttention(small, { embedDim: 4, heads: 2, window: 1 });
  layer.load(Object.fromEntries(Object.entries(layer.shapes).map(([name, shape], i) => [name, random(shape, i).data])));
  const unloaded = new LongformerAttention(small, { embedDim: 4, heads: 2, window: 1 });
  const hidden = small.tensor([2, 5, 4], random([2, 5, 4], 1).data);
  const [mask, wide, flat] = [small.zeros([2, 4], 'boolean'), small.zeros([2, 5, 6]), small.zeros([2, 4])];
  const forward = (options: Loose) => () => layer.forward(hidden, options);
  refuses([
    ['nothing', make(undefined), TypeError, /LongformerAttention: "options" must be an object/],
    ['embedDim', make({ embedDim: 4, heads: 3, window: 1 }), RangeError, /"embedDim" is 4, not a multiple of heads 3/],
    ['window', make({ embedDim: 4, heads: 2 }), RangeError, /"window" is undefined, not an integer ≥ 0/],
    ['dilation', make({ embedDim: 4, heads: 2, window: 1, dilation: 0 }), RangeError, /"dilation" is 0/],
    ['option', make({ embedDim: 4, heads: 2, attention_window: 2 }), TypeError, /unknown option "attention_window"/],
    ['before load', () => unloaded.forward(hidden), Error, /LongformerAttention.forward: no parameters/],
    ...notTensors((tensor) => layer.forward(tensor), 'hidden'),
    ofOther((tensor) => layer.forward(tensor), 'hidden'),
    ['rank', () => layer.forward(flat), RangeError, /"hidden" has rank 2/],
    ['size', () => layer.forward(wide), RangeError, /"hidden" has shape \[2,5,6\], but \[2,5,4\]/],
    ['option of forward', forward({ global: [0] }), TypeError, /unknown option "global"/],
    ['mask', forward({ mask }), RangeError, /"mask" has shape \[2,4\], but \[2,5\]/],
    ['mask of numbers', forward({ mask: hidden }), TypeError, /"mask" has dtype float32/],
    ['global 5', forward({ globalTokens: [5] }), RangeError, /"globalTokens" has 5, but there are 5 keys/],
    ['globals of 3 batches', forward({ globalTokens: [[0], [1], [2]] }), RangeError, /one per batch \(2\)/],
    ['global text', forward({ globalTokens: 'cls' }), TypeError, /"globalTokens" must be an array of positions/],
  ]);
});
