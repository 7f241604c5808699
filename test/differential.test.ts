import { describe, expect, it } from 'vitest';
import { DifferentialAttention, type DifferentialAttentionOptions } from 'wasm-attention';
import { differentialAttention } from 'wasm-attention/reference';
import { checkLayer, randomState } from './layerSupport.ts';
import { float, notTensors, refuses, runtime as small } from './refused.ts';
import { poisonedRuntime, random, testBuilds, upload } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function check(options: DifferentialAttentionOptions, [batch, length]: number[], causal = false): void {
    const layer = new DifferentialAttention(runtime, options);
    const state = randomState(layer, 1);
    const x = random([batch, length, options.embedDim], 9);
    checkLayer(
      layer,
      state,
      () => layer.forward(upload(runtime, x), { causal }),
      (precision) =>
        differentialAttention(x, state, {
          ...options,
          base: options.rope && (options.rope.base ?? 10000),
          causal,
          precision,
        }),
    );
  }

  it('differential attention of many sizes', () => {
    for (const [embedDim, heads, kvHeads] of [
      [2, 1, 1],
      [24, 3, 3],
      [40, 4, 2],
      [64, 2, 1],
    ]) {
      check({ embedDim, heads, kvHeads, depth: 3 }, [3, 21]);
      check({ embedDim, heads, kvHeads, depth: 0 }, [2, 34], true);
    }
    for (const sizes of [
      [1, 0],
      [0, 4],
      [20, 1],
      [1, 70],
    ])
      check({ embedDim: 24, heads: 2, depth: 1 }, sizes, true);
    check({ embedDim: 24, heads: 2, depth: 7, rope: {} }, [2, 33], true);
    check({ embedDim: 24, heads: 2, depth: 7, rope: { base: 500 } }, [2, 33]);
  });
});

it('has the names of the authors', () => {
  expect(new DifferentialAttention(small, { embedDim: 24, heads: 3, kvHeads: 1, depth: 0 }).shapes).toEqual({
    'q_proj.weight': [24, 24],
    'k_proj.weight': [8, 24],
    'v_proj.weight': [8, 24],
    'out_proj.weight': [24, 24],
    lambda_q1: [4],
    lambda_k1: [4],
    lambda_q2: [4],
    lambda_k2: [4],
    'subln.weight': [8],
  });
});

describe('errors', () => {
  const make = (options: object) => () =>
    new DifferentialAttention(small, { embedDim: 8, heads: 2, depth: 0, ...options });
  const layer = make({})();
  layer.load(randomState(layer, 1));
  refuses([
    ['embedDim', make({ embedDim: 6 }), RangeError, /"embedDim" is 6, not a multiple of 2 · heads \(4\)/],
    ['kvHeads', make({ kvHeads: 3 }), RangeError, /"heads" is 2, not a multiple of kvHeads 3/],
    ['depth', make({ depth: undefined }), TypeError, /"depth" must be a number/],
    ['epsilon', make({ epsilon: -1 }), RangeError, /"epsilon" is -1/],
    ['rope of an odd headDim', make({ embedDim: 4, rope: {} }), RangeError, /"rotaryDim" is 1/],
    ['rope', make({ rope: { theta: 1 } }), TypeError, /unknown option "theta"/],
    ['option', make({ lambda: 1 }), TypeError, /unknown option "lambda"/],
    ['before load', () => make({})().forward(float(1, 1, 8)), Error, /no parameters; call load first/],
    ...notTensors((tensor) => layer.forward(tensor), 'input'),
  ]);
});
