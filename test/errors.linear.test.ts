import { describe, expect, it } from 'vitest';
import {
  createRuntimeSync,
  favorFeatures,
  linearAttention,
  linearAttentionState,
  retentionDecay,
} from 'wasm-attention';
import { CausalConvWithState, LinearAttention } from 'wasm-attention/onnx';
import { float, type Loose, notTensors, ofOther, output, query, type Row, refuses, runtime } from './refused.ts';
import { random } from './support.ts';

const N = Number.NaN;
const [key, value] = [float(1, 2, 5, 4), float(1, 2, 5, 6)];
const [ownKey, ownValue] = [float(1, 2, 3, 4), float(1, 2, 3, 6)];
const [decay, beta] = [float(1, 2, 3), float(1, 2, 3)];
const favor = favorFeatures({ headDim: 4, features: 8 });

describe.each([
  ['linearAttention', linearAttention],
  ['linearAttentionState', linearAttentionState],
])('%s', (name, call) => {
  const given = (options: Loose) => () => call(query, key, value, { output, ...options });
  const causal = (options: Loose) => () => call(query, ownKey, ownValue, { output, ...options });
  refuses([
    ...notTensors((tensor) => call(tensor, key, value), 'query'),
    ...notTensors((tensor) => call(query, tensor, value), 'key'),
    ...notTensors((tensor) => call(query, key, tensor), 'value'),
    ofOther((tensor) => call(query, tensor, value), 'key'),
    [
      'options null',
      () => call(query, key, value, null as Loose),
      TypeError,
      new RegExp(`^${name}: "options" must be`),
    ],
    ['option', given({ feature_map: 'elu' }), TypeError, /unknown option "feature_map"/],
    ['rank', () => call(query, float(2, 5, 4), value), RangeError, /"key" has rank 3/],
    [
      'headDim',
      () => call(query, float(1, 2, 5, 3), value),
      RangeError,
      /"key" has headDim 3, but "query" has headDim 4/,
    ],
    ['length', () => call(query, key, float(1, 2, 4, 6)), RangeError, /"value" has length 4, but "key" has length 5/],
    ['heads', () => call(query, float(1, 3, 5, 4), float(1, 3, 5, 6)), RangeError, /not a multiple of kvHeads 3/],
    ['update', given({ update: 'gated_delta' }), TypeError, /"update" must be 'linear'.*'gated_delta'/],
    ['layout', given({ layout: 'sbhd' }), TypeError, /"layout" must be/],
    ['featureMap', given({ featureMap: 'softmax' }), TypeError, /"featureMap" must be .*'softmax'/],
    ['featureMap null', given({ featureMap: null }), TypeError, /"featureMap" must be/],
    ['featureMap function', given({ featureMap: Math.exp }), TypeError, /"featureMap" must be/],
    ['featureMap type', given({ featureMap: { type: 'favor' } }), TypeError, /"featureMap.type" must be 'cosformer'/],
    ['featureMap option', given({ featureMap: { type: 'cosformer', max: 4 } }), TypeError, /unknown option "max"/],
    [
      'positions past the maxLength',
      given({ featureMap: { type: 'cosformer', maxLength: 6, offset: 2 } }),
      RangeError,
      /"featureMap.maxLength" is 6, but there are 7 positions/,
    ],
    ['offset', given({ featureMap: { type: 'cosformer', offset: -1 } }), RangeError, /"featureMap.offset" is -1/],
    ['maxLength NaN', given({ featureMap: { type: 'cosformer', maxLength: N } }), RangeError, /maxLength" is NaN/],
    [
      'features of another headDim',
      given({ featureMap: favorFeatures({ headDim: 6 }) }),
      RangeError,
      /"featureMap" is for headDim 6, but "query" has headDim 4/,
    ],
    [
      'projection of another size',
      given({ featureMap: { ...favor, features: 9 } }),
      RangeError,
      /"featureMap.projection" has 32 elements, not 9 × 4/,
    ],
    [
      'projection',
      given({ featureMap: { ...favor, projection: [1] } }),
      TypeError,
      /projection" must be a Float32Array/,
    ],
    [
      'FAVOR+ gated',
      causal({ featureMap: favor, update: 'gated', decay }),
      RangeError,
      /"update" is 'gated', but FAVOR\+/,
    ],
    ['FAVOR+ without divisor', given({ featureMap: favor, normalize: false }), RangeError, /"normalize" is false/],
    ['FAVOR+ scale 0', given({ featureMap: favor, scale: 0 }), RangeError, /"scale" is 0/],
    ['delta with divisor', causal({ update: 'delta', beta, normalize: true }), RangeError, /"normalize" is true/],
    ['causal 1', given({ causal: 1 }), TypeError, /"causal" must be true or false/],
    ['not causal', causal({ update: 'gated', decay, causal: false }), RangeError, /"causal" is false/],
    ['causal lengths', given({ causal: true }), RangeError, /"query" has length 3, but .* that of "key", 5/],
    ['scale NaN', given({ scale: N }), RangeError, /"scale" is NaN/],
    ['scale string', given({ scale: '1' }), TypeError, /"scale" must be a number/],
    [
      'scale of elu',
      given({ featureMap: 'elu', scale: 1 }),
      RangeError,
      /"scale" has no part in the feature map "elu"/,
    ],
    ['epsilon', given({ epsilon: -1 }), RangeError, /"epsilon" is -1/],
    ['decay of linear', given({ decay }), RangeError, /"decay" has no part in the rule 'linear'/],
    ['beta of gated', causal({ update: 'gated', decay, beta }), RangeError, /"beta" has no part in the rule 'gated'/],
    ['no decay', causal({ update: 'gated' }), TypeError, /"decay" must be a Tensor or an array/],
    ['decay number', causal({ update: 'gated', decay: -1 }), TypeError, /"decay" must be a Tensor or an array/],
    ['decays', causal({ update: 'gated', decay: [1] }), RangeError, /"decay" must be one number per KV head \(2\)/],
    ['decay NaN', causal({ update: 'gated', decay: [0, N] }), RangeError, /"decay\[1\]" is NaN/],
    [
      'decay shape',
      causal({ update: 'gated', decay: float(1, 2, 4) }),
      RangeError,
      /"decay" has shape \[1,2,4\], but \[1,2,3\]/,
    ],
    [
      'decay features',
      causal({ update: 'gated', decay: ownValue }),
      RangeError,
      /"decay" has shape .* but \[1,2,3,4\]/,
    ],
    ...notTensors((tensor) => causal({ update: 'delta', beta: tensor })(), 'beta'),
    [
      'beta shape',
      causal({ update: 'delta', beta: float(1, 3, 2) }),
      RangeError,
      /"beta" has shape \[1,3,2\], but \[1,2,3\]/,
    ],
    ...notTensors((tensor) => given({ state: tensor ?? 5 })(), 'state').slice(2),
    ['state shape', given({ state: float(1, 2, 4, 7) }), RangeError, /"state" has shape \[1,2,4,7\], but \[1,2,4,6\]/],
    [
      'state with sums',
      given({ state: float(1, 2, 4, 6), featureMap: 'elu' }),
      RangeError,
      /but \[1,2,4,7\] is needed/,
    ],
    ['keyLengths', given({ keyLengths: [6] }), RangeError, /keyLengths/],
    ['keyLengths count', given({ keyLengths: [1, 2] }), RangeError, /keyLengths/],
    ['output shape', given({ output: float(1, 2, 6, 3) }), RangeError, /"output" has shape/],
    ['output int32', given({ output: runtime.zeros([1, 2, 3, 6], 'int32') }), TypeError, /"output" has dtype int32/],
    ['output overlaps', () => call(query, ownKey, ownKey, { output: query }), RangeError, /"output" overlaps an input/],
  ] as Row[]);

  it('stops at the memory limit, with nothing written', () => {
    const small = createRuntimeSync({ memory: { maximumBytes: 65536 * 4 } });
    const tensors = [1, 2, 3].map((seed) => small.tensor([1, 1, 8, 64], random([1, 1, 8, 64], seed).data));
    const target = small.zeros([1, 1, 8, 64]);
    const used = small.memory.usedBytes;
    const featureMap = favorFeatures({ headDim: 64, features: 1024 });
    expect(() => call(tensors[0], tensors[1], tensors[2], { featureMap, output: target })).toThrow(/memory limit/);
    expect(small.memory.usedBytes).toBe(used);
    expect(target.data.every((x) => x === 0)).toBe(true);
    expect(small.scope(() => linearAttention(tensors[0], tensors[1], tensors[2]).data.every(Number.isFinite))).toBe(
      true,
    );
  });
});

describe('favorFeatures and retentionDecay', () => {
  const make = (options: Loose) => () => favorFeatures(options);
  refuses([
    ['nothing', make(undefined), TypeError, /"options" must be an object/],
    ['option', make({ headDim: 4, rows: 3 }), TypeError, /unknown option "rows"/],
    ['headDim', make({ headDim: 0 }), RangeError, /"headDim" is 0/],
    ['features', make({ headDim: 4, features: 1.5 }), RangeError, /"features" is 1.5/],
    [
      'many features',
      make({ headDim: 64, features: 2 ** 21 }),
      RangeError,
      /"features" of headDim 64 are 134217728 numbers; at most/,
    ],
    ['seed', make({ headDim: 4, seed: -1 }), RangeError, /"seed" is -1/],
    ['orthogonal', make({ headDim: 4, orthogonal: 1 }), TypeError, /"orthogonal" must be true or false/],
    ...[0, 1.5, N, undefined].map(
      (heads): Row => [`heads ${heads}`, () => retentionDecay(heads as Loose), RangeError, /"heads" is/],
    ),
  ]);
});

describe('ONNX', () => {
  const array = (...shape: number[]) => ({ dtype: 'float32' as const, ...random(shape, 1) });
  const heads = { q_num_heads: 2, kv_num_heads: 2 };
  const inputs = { query: array(1, 3, 8), key: array(1, 3, 8), value: array(1, 3, 4), beta: array(1, 3, 2) };
  const attend =
    (changed: Loose, attributes: Loose = {}) =>
    () =>
      LinearAttention(runtime, { ...inputs, ...changed }, { ...heads, update_rule: 'delta', ...attributes });
  const conv = { input: array(2, 3, 5), weight: array(3, 1, 4) };
  const convolve =
    (changed: Loose, attributes: Loose = {}) =>
    () =>
      CausalConvWithState(runtime, { ...conv, ...changed }, attributes);
  refuses([
    ['no query', attend({ query: undefined }), TypeError, /"query" must be an OnnxTensor/],
    ['bool key', attend({ key: { dtype: 'bool' } }), TypeError, /"key" must be an OnnxTensor/],
    ['rank', attend({ value: array(1, 2, 3, 4) }), RangeError, /"value" has rank 4, not 3/],
    ['rule', attend({}, { update_rule: 'deltas' }), TypeError, /"update_rule" must be 'linear'/],
    ['no heads', attend({}, { q_num_heads: undefined }), RangeError, /"q_num_heads" is undefined/],
    ['heads', attend({}, { kv_num_heads: 3 }), RangeError, /"key" has 8 features, not a multiple of its 3 heads/],
    ['no beta', attend({ beta: undefined }), TypeError, /"beta" must be a Tensor/],
    ['no decay', attend({}, { update_rule: 'gated' }), TypeError, /"decay" must be a Tensor/],
    ['decay', attend({ decay: array(1, 3, 5) }, { update_rule: 'gated' }), RangeError, /"decay" has 5 features/],
    [
      'past_state',
      attend({ past_state: array(1, 2, 2, 4) }),
      RangeError,
      /"state" has shape \[1,2,2,4\], but \[1,2,4,2\]/,
    ],
    ['conv input', convolve({ input: array(2, 3) }), RangeError, /"input" has rank 2, not 3/],
    ['conv weight', convolve({ weight: array(2, 1, 4) }), RangeError, /"weight" has shape \[2,1,4\], but \[3,1,4\]/],
    ['conv weight rank', convolve({ weight: array(3, 4) }), RangeError, /"weight" has shape \[3,4\]/],
    ['conv weight size', convolve({ weight: array(3, 1, 0) }), RangeError, /"weight" has size 0/],
    ['conv bias', convolve({ bias: array(2) }), RangeError, /"bias" has shape \[2\], but \[3\]/],
    [
      'conv past',
      convolve({ past_state: array(2, 3, 4) }),
      RangeError,
      /"past_state" has shape \[2,3,4\], but \[2,3,3\]/,
    ],
    ['conv int64', convolve({ bias: { dtype: 'int64' } }), TypeError, /"bias" must be an OnnxTensor/],
    ['activation', convolve({}, { activation: 'relu' }), TypeError, /"activation" must be 'none', 'silu' or 'swish'/],
  ]);
});
