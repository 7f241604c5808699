import { describe, expect, it } from 'vitest';
import { createRuntimeSync, linear, MultiHeadAttention, mergeStates, scaledDotProductAttention } from 'wasm-attention';
import { disposed, float, type Loose, notTensors, ofOther, refuses, runtime } from './refused.ts';
import { random } from './support.ts';

describe('mergeStates', () => {
  const state = { output: float(1, 2, 3, 6), lse: float(1, 2, 3) };
  const merge = (...states: Loose[]) => mergeStates(states);
  refuses([
    ['nothing', () => mergeStates(undefined as Loose), TypeError, /"states" must be a non-empty array/],
    ['no state', () => merge(), TypeError, /"states" must be a non-empty array/],
    ['a state null', () => merge(state, null), TypeError, /"states\[1\]" must be \{ output, lse \}/],
    ['a first state null', () => merge(null), TypeError, /"states\[0\]" must be \{ output, lse \}/],
    ...notTensors((tensor) => merge(state, { ...state, output: tensor }), 'states\\[1\\].output'),
    ...notTensors((tensor) => merge(state, { ...state, lse: tensor }), 'states\\[1\\].lse'),
    ofOther((tensor) => merge(state, { ...state, output: tensor }), 'states\\[1\\].output'),
    [
      'shapes',
      () => merge(state, { ...state, output: float(1, 2, 3, 5) }),
      RangeError,
      /output" has shape \[1,2,3,5\], but/,
    ],
    [
      'lse shape',
      () => merge({ ...state, lse: float(1, 3, 2) }),
      RangeError,
      /lse" has shape \[1,3,2\], but \[1,2,3\]/,
    ],
    ['layout', () => mergeStates([state], { layout: 'x' as Loose }), TypeError, /"layout" must be/],
    ['lse of the other layout', () => mergeStates([state], { layout: 'bshd' }), RangeError, /lse" has shape/],
    ['option', () => mergeStates([state], { dim: 1 } as Loose), TypeError, /unknown option "dim"/],
  ]);
});

describe('linear', () => {
  const [input, weight, bias] = [float(2, 3, 4), float(5, 4), float(5)];
  refuses([
    ...notTensors((tensor) => linear(tensor, weight), 'input'),
    ...notTensors((tensor) => linear(input, tensor), 'weight'),
    ...notTensors((tensor) => linear(input, weight, tensor ?? 5), 'bias').slice(2),
    ofOther((tensor) => linear(input, tensor), 'weight'),
    [
      'features',
      () => linear(input, float(5, 3)),
      RangeError,
      /"input" has shape \[2,3,4\], but "weight" \[5,3\] needs 3/,
    ],
    ['rank 0', () => linear(float(), weight), RangeError, /"input" has shape \[\]/],
    ['rank of weight', () => linear(input, float(4)), RangeError, /"weight" has rank 1/],
    ['bias', () => linear(input, weight, float(4)), RangeError, /"bias" has shape \[4\], but \[5\] is needed/],
    ['no features', () => linear(float(2, 0), float(5, 0)), RangeError, /"weight" has 0 input features/],
    ['bias that is a number', () => linear(input, weight, 3 as Loose), TypeError, /"bias" must be a Tensor/],
  ]);
  it('refuses more features than scratch can be addressed for', () => {
    const large = createRuntimeSync();
    const wide = large.empty([1, 2 ** 22 + 1]);
    const used = large.memory.usedBytes;
    expect(() => linear(wide, wide)).toThrow(/"weight" has 4194305 input features, but at most 4194304 are possible/);
    expect(large.memory.usedBytes).toBe(used);
  });

  it('goes on with a good call', () => expect(runtime.scope(() => linear(input, weight, bias).size)).toBe(30));
});

describe('MultiHeadAttention', () => {
  const layer = new MultiHeadAttention(runtime, { embedDim: 4, heads: 2, kdim: 3, vdim: 5 });
  const state = Object.fromEntries(
    Object.entries(layer.shapes).map(([name, shape], i) => [name, random(shape, i).data]),
  );
  const [q, k, v] = [float(2, 3, 4), float(2, 6, 3), float(2, 6, 5)];
  const counts = runtime.zeros([2, 6], 'int32');
  const unloaded = new MultiHeadAttention(runtime, { embedDim: 4, heads: 2 });
  const make = (options: Loose) => () => new MultiHeadAttention(runtime, options);
  layer.load(state);
  refuses([
    ['embedDim 0', make({ embedDim: 0, heads: 1 }), RangeError, /"embedDim" is 0, not an integer ≥ 1/],
    ['heads', make({ embedDim: 4, heads: 3 }), RangeError, /"embedDim" is 4, not a multiple of heads 3/],
    ['heads missing', make({ embedDim: 4 }), RangeError, /"heads" is undefined/],
    ['kdim', make({ embedDim: 4, heads: 2, kdim: 0.5 }), RangeError, /"kdim" is 0.5/],
    ['num_heads', make({ embedDim: 4, num_heads: 2 }), TypeError, /unknown option "num_heads"/],
    ['no options', make(undefined), TypeError, /"options" must be an object/],
    ['no state', () => unloaded.load(null as Loose), TypeError, /load: "state" must be an object of parameters/],
    [
      'missing',
      () => layer.load({ ...state, in_proj_bias: undefined as Loose }),
      RangeError,
      /"in_proj_bias" is missing/,
    ],
    [
      'unknown',
      () => layer.load({ ...state, in_proj_weight: [1] }),
      RangeError,
      /"in_proj_weight" is not a parameter; there are q_proj/,
    ],
    ['toString', () => layer.load({ ...state, toString: [1] } as Loose), RangeError, /"toString" is not a parameter/],
    [
      'size',
      () => layer.load({ ...state, 'out_proj.bias': [1] }),
      RangeError,
      /"out_proj.bias" has 1 elements, but \[4\]/,
    ],
    [
      'number',
      () => layer.load({ ...state, 'out_proj.bias': 4 as Loose }),
      TypeError,
      /"out_proj.bias" must be an array or a tensor, but it is 4/,
    ],
    ['a disposed parameter', () => layer.load({ ...state, 'out_proj.bias': disposed }), Error, /was disposed/],
    ['before load', () => unloaded.forward(q, q, q), Error, /forward: no parameters; call load first/],
    ...notTensors((tensor) => layer.forward(tensor, k, v), 'query'),
    ...notTensors((tensor) => layer.forward(q, tensor, v), 'key'),
    ...notTensors((tensor) => layer.forward(q, k, tensor), 'value'),
    ofOther((tensor) => layer.forward(tensor, k, v), 'query'),
    ['rank', () => layer.forward(float(3, 4), k, v), RangeError, /forward: "query" has rank 2/],
    [
      'embedDim',
      () => layer.forward(float(2, 3, 5), k, v),
      RangeError,
      /forward: "query" has shape \[2,3,5\], but \[2,3,4\]/,
    ],
    ['kdim of key', () => layer.forward(q, v, v), RangeError, /forward: "key" has shape \[2,6,5\], but \[2,6,3\]/],
    [
      'length of value',
      () => layer.forward(q, k, float(2, 5, 5)),
      RangeError,
      /"value" has shape \[2,5,5\], but \[2,6,5\]/,
    ],
    ['batch of key', () => layer.forward(q, float(1, 6, 3), v), RangeError, /"key" has shape \[1,6,3\], but \[2,6,3\]/],
    ['attn_mask', () => layer.forward(q, k, v, { attn_mask: q } as Loose), TypeError, /unknown option "attn_mask"/],
    [
      'attnMask',
      () => layer.forward(q, k, v, { attnMask: float(3, 5) }),
      RangeError,
      /"attnMask" has shape \[3,5\], but \[3,6\]/,
    ],
    [
      'attnMask a head',
      () => layer.forward(q, k, v, { attnMask: float(2, 3, 6) }),
      RangeError,
      /but \[4,3,6\] is needed/,
    ],
    [
      'padding',
      () => layer.forward(q, k, v, { keyPaddingMask: float(2, 5) }),
      RangeError,
      /"keyPaddingMask" has shape \[2,5\]/,
    ],
    ['padding int32', () => layer.forward(q, k, v, { keyPaddingMask: counts as Loose }), TypeError, /int32/],
  ]);

  it('goes on with what it had, and loads nothing where memory is short', () => {
    expect(runtime.scope(() => layer.forward(q, k, v).output.data.every(Number.isFinite))).toBe(true);
    const small = createRuntimeSync({ memory: { maximumBytes: 65536 } });
    const large = new MultiHeadAttention(small, { embedDim: 64, heads: 1 });
    const values = Object.fromEntries(
      Object.entries(large.shapes).map(([name, shape]) => [name, random(shape, 1).data]),
    );
    expect(() => large.load(values)).toThrow(/memory limit/);
    expect(small.memory.usedBytes).toBe(0);
    expect(() => large.forward(small.zeros([1, 1, 64]), q, q)).toThrow(/call load first/);
  });
});

describe('the memory limit', () => {
  it('stops an operation before it writes, and the runtime stays usable', () => {
    const small = createRuntimeSync({ memory: { maximumBytes: 2 * 65536 } });
    const [q, k, v] = [1, 2, 3].map((seed) => small.tensor([1, 1, 60, 64], random([1, 1, 60, 64], seed).data));
    const good = small.scope(() => scaledDotProductAttention(q, k, v).toArray());
    const target = small.zeros([1, 1, 60, 64]);
    const fill = small.zeros([(2 * 65536 - small.memory.usedBytes - 16384) / 4]);
    const used = small.memory.usedBytes;
    for (let i = 0; i < 3; i++) {
      expect(() => scaledDotProductAttention(q, k, v)).toThrow(
        /memory limit: \d+ bytes were asked for, \d+ are used and 131072/,
      );
      expect(() => scaledDotProductAttention(q, k, v, { output: target })).toThrow(RangeError);
      expect(target.data.every((x) => x === 0)).toBe(true);
      expect(small.memory.usedBytes).toBe(used);
    }
    fill.dispose();
    expect(scaledDotProductAttention(q, k, v, { output: target }).data).toEqual(good);
  });
});
