import { describe, expect, it } from 'vitest';
import {
  addPositions,
  applyRotaryTables,
  attentionState,
  attentionWeights,
  CrossAttention,
  everyScore,
  favorFeatures,
  groupNorm,
  type Layer,
  type LinearAttentionOptions,
  LongformerAttention,
  layerNorm,
  linear,
  linearAttentionState,
  MixedRotaryEmbedding,
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
  MultiHeadAttention,
  MultiHeadLatentAttention,
  masks,
  mergeStates,
  PatchEmbedding,
  RotaryEmbedding,
  relativePositionBias,
  resizePositions,
  rmsNorm,
  scaledDotProductAttention,
  sinusoidalEncoding,
  type Tensor,
  TriangleAttention,
} from 'wasm-attention';
import { guardBlocks } from './guardBlocks.ts';
import { count, random, runtimeOf, testBuilds } from './support.ts';

type Make = (...shape: number[]) => Tensor;

const LENGTHS = [1, 7, 8, 9, 63, 65, 129];
const DIMS = [1, 3, 40, 59, 64, 111];

describe.each(testBuilds)('%s', (build) => {
  const runtime = runtimeOf(build);
  const checkGuards = guardBlocks(runtime);

  /** Inputs that a call may not write, none aligned to more than a float; its results hold no NaN of what surrounds them. */
  function guarded(call: (make: Make, output: Make) => Tensor[]): void {
    runtime.scope(() => {
      const inputs: { tensor: Tensor; before: Float32Array }[] = [];
      const output: Make = (...shape) => {
        const size = count(shape);
        return runtime
          .empty([size + 1])
          .slice(1, size)
          .view(shape)
          .set(random(shape, size).data);
      };
      const results = call((...shape) => {
        const tensor = output(...shape);
        inputs.push({ tensor, before: tensor.toArray() });
        return tensor;
      }, output);
      for (const { tensor, before } of inputs) expect(tensor.data.every((x, i) => x === before[i])).toBe(true);
      for (const result of results) expect(result.data.some(Number.isNaN)).toBe(false);
      checkGuards();
    });
    expect(runtime.memory.usedBytes).toBe(0);
  }

  /** The same call into a tensor between guards. */
  function attention(queries: number, keys: number, dim: number, valueDim: number, options: object = {}) {
    for (const layout of ['bhsd', 'bshd'] as const) {
      const shape = (heads: number, length: number, d: number) =>
        layout === 'bhsd' ? [2, heads, length, d] : [2, length, heads, d];
      guarded((make, into) => {
        const [q, k, v] = [shape(4, queries, dim), shape(2, keys, dim), shape(2, keys, valueDim)].map((s) =>
          make(...s),
        );
        const output = into(...shape(4, queries, valueDim));
        return [scaledDotProductAttention(q, k, v, { ...options, layout, output })];
      });
    }
    guarded((make) => {
      const [q, k, v] = [make(2, 4, queries, dim), make(2, 2, keys, dim), make(2, 2, keys, valueDim)];
      const { output, lse } = attentionState(q, k, v, options);
      return [output, attentionWeights(q, k, options), mergeStates([{ output, lse }]).output];
    });
  }

  it('notices a write of one byte outside of a block', () => {
    for (const at of [-1, 12]) {
      const own = runtimeOf(build);
      const check = guardBlocks(own);
      const { address } = own.empty([3]);
      check();
      new Uint8Array(own.buffer)[address + at] = 0;
      expect(check).toThrow(/wrote outside of a block of 12 bytes/);
    }
  });

  it('attention of every length', () => {
    for (const queries of LENGTHS) for (const keys of LENGTHS) attention(queries, keys, 5, 3);
  });

  it('attention of every size of head', () => {
    for (const dim of DIMS) for (const valueDim of [1, 2, 3, 4, 59]) attention(9, 10, dim, valueDim);
  });

  it('attention of a few queries whose heads share keys', () => {
    for (const [heads, kvHeads] of [
      [1, 1],
      [3, 1],
      [8, 2],
      [24, 1],
      [64, 1],
      [70, 2],
    ]) {
      for (const queries of [1, 2, 3, 5]) {
        for (const options of [{}, { causal: true }, { keyLengths: [40], window: [9, 0] as const }]) {
          guarded((make) => {
            const [q, k, v] = [make(1, heads, queries, 6), make(1, kvHeads, 131, 6), make(1, kvHeads, 131, 7)];
            const { output, lse } = attentionState(q, k, v, options);
            return [output, lse, attentionWeights(q, k, options)];
          });
        }
      }
    }
  });

  it('attention under masks', () => {
    const stripes = masks.fromPredicate((_b, _h, i, j) => (i + j) % 3 > 0);
    const numbers = { softcap: 5, alibiSlopes: [1, 2, 3, 4], sink: [0, 1, 2, 3] };
    for (const options of [{ causal: true }, { window: [3, 1] }, { keyLengths: [0, 20] }, { mask: stripes }, numbers]) {
      attention(67, 131, 6, 5, options);
    }
    guarded((make) => {
      const [q, k, v, bias] = [make(1, 2, 9, 6), make(1, 2, 131, 6), make(1, 2, 131, 7), make(2, 9, 131)];
      return [scaledDotProductAttention(q, k, v, { bias, causal: true })];
    });
  });

  it('sparse attention, and scores and weights that the caller changes', () => {
    const longformer = masks.longformer({ window: 3, dilation: 2, globalTokens: [1, 66] });
    for (const mask of [longformer, masks.bigBird({ blockSize: 8 }), masks.documents([0, 3, 70, 131])])
      attention(131, 131, 6, 5, { mask });
    const [scoreMod, probMod] = [everyScore((score) => score + 1), everyScore((weight) => weight / 2)];
    for (const queries of LENGTHS) {
      for (const mods of [{ scoreMod }, { probMod }, { scoreMod, probMod, mask: masks.slidingWindow(9, 9) }]) {
        guarded((make) => {
          const [q, k, v] = [make(1, 2, queries, 59), make(1, 1, 131, 59), make(1, 1, 131, 7)];
          const { output, lse } = attentionState(q, k, v, mods);
          return [output, lse];
        });
      }
    }
    guarded((make) => {
      const layer = new LongformerAttention(runtime, { embedDim: 6, heads: 2, window: 4 });
      layer.load(Object.fromEntries(Object.entries(layer.shapes).map(([name, shape]) => [name, make(...shape)])));
      const output = layer.forward(make(2, 70, 6), { globalTokens: [0, 69] });
      layer.dispose();
      return [output];
    });
  });

  it('does not read masked keys and values into a result', () => {
    guarded((make) => {
      const [q, k, v] = [make(1, 1, 9, 6), make(1, 1, 30, 6), make(1, 1, 30, 7)];
      const padded = (tensor: Tensor, d: number) =>
        runtime.tensor([1, 1, 60, d], [...tensor.data, ...Array(30 * d).fill(Number.NaN)]);
      return [scaledDotProductAttention(q, padded(k, 6), padded(v, 7), { keyLengths: [30] })];
    });
  });

  it('merge, linear, multi-head', () => {
    for (const dim of DIMS) {
      guarded((make) => {
        const state = () => ({ output: make(2, 3, 9, dim), lse: make(2, 3, 9) });
        const { output, lse } = mergeStates([state(), state(), state()]);
        return [output, lse];
      });
      for (const out of [1, 3, 5, 129]) {
        for (const rows of [1, 9, 65]) {
          guarded((make) => [
            linear(make(rows, dim), make(out, dim), make(out)),
            linear(make(rows, dim), make(out, dim)),
          ]);
        }
      }
    }
    guarded((make) => {
      const layer = new MultiHeadAttention(runtime, { embedDim: 10, heads: 2, kdim: 3, vdim: 7 });
      layer.load(Object.fromEntries(Object.entries(layer.shapes).map(([name, shape]) => [name, make(...shape)])));
      const { output, weights } = layer.forward(make(2, 9, 10), make(2, 11, 3), make(2, 11, 7), { needWeights: true });
      layer.dispose();
      return [output, weights!];
    });
  });

  it('norms and layers of models', () => {
    for (const dim of DIMS)
      guarded((make) => [
        layerNorm(make(9, dim), make(dim), make(dim)),
        rmsNorm(make(9, dim), make(dim)),
        groupNorm(make(2, 9, dim), dim, make(dim), make(dim)),
      ]);
    const layers: [Layer, (make: Make) => Tensor][] = [];
    const add = <L extends Layer>(layer: L, forward: (layer: L, make: Make) => Tensor) =>
      layers.push([layer, (make) => forward(layer, make)]);
    const msa = { msaDim: 5, heads: 2, headDim: 3 };
    add(new MSARowAttentionWithPairBias(runtime, { ...msa, pairDim: 3 }), (layer, make) =>
      layer.forward(make(9, 7, 5), make(7, 7, 3), visible(9, 7)),
    );
    add(new MSAColumnAttention(runtime, msa), (layer, make) => layer.forward(make(9, 7, 5), visible(9, 7)));
    add(new MSAColumnGlobalAttention(runtime, msa), (layer, make) => layer.forward(make(9, 7, 5), visible(9, 7)));
    add(new TriangleAttention(runtime, { pairDim: 5, heads: 2, headDim: 3, node: 'ending' }), (layer, make) =>
      layer.forward(make(7, 7, 5), visible(7, 7)),
    );
    add(new CrossAttention(runtime, { queryDim: 5, contextDim: 3, heads: 2, headDim: 3 }), (layer, make) =>
      layer.forward(make(2, 9, 5), make(2, 7, 3)),
    );
    const norms = { normGroups: 1, contextNorm: 'layer_norm' } as const;
    add(new CrossAttention(runtime, { queryDim: 5, contextDim: 3, heads: 2, headDim: 3, ...norms }), (layer, make) =>
      layer.forward(make(2, 9, 5), make(2, 7, 3)),
    );
    add(new PatchEmbedding(runtime, { imageSize: 6, patchSize: 3, embedDim: 5 }), (layer, make) =>
      layer.forward(make(2, 3, 9, 3)),
    );
    const latent = { hiddenDim: 5, heads: 3, latentDim: 6, nopeDim: 3, ropeDim: 2, valueDim: 7 };
    add(new MultiHeadLatentAttention(runtime, latent), (layer, make) => layer.forward(make(2, 9, 5)));
    for (const [layer, forward] of layers) {
      guarded((make) => {
        layer.load(Object.fromEntries(Object.entries(layer.shapes).map(([name, shape]) => [name, make(...shape)])));
        const output = forward(make);
        layer.dispose();
        return [output];
      });
    }
  });

  const visible = (...shape: number[]) =>
    runtime.tensor(
      shape,
      Array.from({ length: count(shape) }, (_, at) => at % 5 > 0),
      'boolean',
    );

  it('linear attention', () => {
    const rules = ['linear', 'gated', 'delta', 'gatedDelta'] as const;
    const maps = (dim: number) =>
      ['elu', 'relu', 'cosformer', favorFeatures({ headDim: dim, features: dim + 2 })] as const;
    const call = (
      layout: 'bhsd' | 'bshd',
      dim: number,
      valueDim: number,
      length: number,
      options: LinearAttentionOptions,
    ) =>
      guarded((make, into) => {
        const shape = (heads: number, ...rest: number[]) =>
          layout === 'bhsd' ? [2, heads, length, ...rest] : [2, length, heads, ...rest];
        const [q, k, v] = [shape(4, dim), shape(2, dim), shape(2, valueDim)].map((s) => make(...s));
        const { update = 'linear' } = options;
        const given: LinearAttentionOptions = { ...options, layout, output: into(...shape(4, valueDim)) };
        if (update === 'gated') given.decay = make(...shape(2, dim));
        if (update === 'gatedDelta') given.decay = make(...shape(2));
        if (update.endsWith('elta')) given.beta = make(...shape(1));
        const features =
          options.featureMap === 'cosformer' ? 2 * dim : typeof options.featureMap === 'object' ? dim + 2 : dim;
        const columns = valueDim + (options.featureMap ? 1 : 0) + (typeof options.featureMap === 'object' ? 1 : 0);
        given.state = make(2, 2, features, columns);
        const { output, state } = linearAttentionState(q, k, v, given);
        return [output, state];
      });
    for (const layout of ['bhsd', 'bshd'] as const) {
      for (const dim of DIMS) {
        for (const valueDim of [1, 3, 4, 17]) {
          for (const update of rules) call(layout, dim, valueDim, 3, { update });
          call(layout, dim, valueDim, 3, { update: 'gated', featureMap: 'elu' });
          for (const featureMap of maps(dim)) call(layout, dim, valueDim, 3, { featureMap, causal: dim % 2 === 0 });
        }
      }
      for (const length of LENGTHS) {
        // The rules that correct diverge with long keys and large β.
        for (const update of rules.slice(0, length < 10 ? 4 : 2))
          call(layout, 5, 6, length, { update, keyLengths: [length, 0] });
        for (const featureMap of maps(5)) call(layout, 5, 6, length, { featureMap, causal: layout === 'bhsd' });
      }
    }
  });

  it('positions', () => {
    guarded((make) => [
      relativePositionBias(make(8, 3), { queries: 9, keys: 7 }),
      resizePositions(make(13, 5), { from: [3, 4], to: [5, 3], prefix: 1 }),
    ]);
    guarded((make, into) => [addPositions(into(2, 3, 5), make(4, 5), { offset: 1 })]);
    for (const options of [{ axes: { sections: [1, 2] } }, { xpos: {} }]) {
      const rope = new RotaryEmbedding(runtime, { headDim: 6, ...options });
      guarded((_make, into) => [rope.apply(into(2, 3, 9, 6), { offset: 3, role: 'key' })]);
    }
    for (const headDim of [2, 6, 58, 111]) {
      const rotaryDim = headDim - (headDim % 2);
      for (const style of ['half', 'interleaved'] as const) {
        const rope = new RotaryEmbedding(runtime, { headDim, rotaryDim, style });
        for (const layout of ['bhsd', 'bshd'] as const) {
          const shape = [2, 3, 9, headDim];
          guarded((make, into) => [
            rope.apply(make(...shape), { layout, output: into(...shape) }),
            rope.apply(into(...shape), { layout }),
          ]);
        }
        guarded((make, into) => [
          applyRotaryTables(
            into(1, 2, 5, headDim),
            { cos: make(5, rotaryDim / 2), sin: make(5, rotaryDim / 2) },
            { style },
          ),
        ]);
      }
    }
    for (const headDim of [2, 6, 58]) {
      const frequencies = random([2, 3, headDim / 2], 1).data;
      const mixed = new MixedRotaryEmbedding(runtime, { headDim, heads: 3, frequencies });
      const positions = random([2, 9], 2).data;
      for (const layout of ['bhsd', 'bshd'] as const) {
        const shape = layout === 'bhsd' ? [2, 3, 9, headDim] : [2, 9, 3, headDim];
        guarded((make, into) => [mixed.apply(make(...shape), { layout, positions, output: into(...shape) })]);
      }
    }
    for (const dim of [1, 2, 5, 64]) {
      for (const layout of ['interleaved', 'concatenated'] as const) {
        guarded(() => [sinusoidalEncoding(runtime, { length: 9, dim, layout })]);
      }
    }
  });
});
