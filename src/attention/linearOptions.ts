import {
  checkFinite,
  checkFlag,
  checkOneOf,
  checkOptions,
  checkPositive,
  checkSameShape,
  checkTensor,
  wrongKind,
  wrongValue,
} from '../check.ts';
import type { FeatureMap } from '../reference/featureMaps.ts';
import type { UpdateRule } from '../reference/linearAttention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import { Tensor } from '../tensor.ts';
import { checkFeatureMap, type KernelMap, kernelMap } from './featureMaps.ts';
import { checkGates } from './gates.ts';
import { checkKeyLengths } from './masks/definitions.ts';
import { type Layout, overlap } from './options.ts';
import { checkSizes } from './problem.ts';

/** What `linearAttention` and `linearAttentionState` compute. */
export type LinearAttentionOptions = {
  /** How a token changes the state; see `linearAttention`. Default `'linear'`. */
  update?: UpdateRule;
  /** φ of keys and queries. Default `'identity'`. FAVOR+ (`favorFeatures`) takes `update: 'linear'` only. */
  featureMap?: FeatureMap;
  /**
   * Whether query `i` reads the state after key `i` (as many queries as keys), or all read it after the last key. Default false for
   * `'linear'`; the other rules are always causal.
   */
  causal?: boolean;
  /** Whether the output is divided by `φ(q)ᵀΣφ(k)`. Default: with a feature map, unless under a delta rule, which has no such sum. */
  normalize?: boolean;
  /** Added to the divisor; for cosFormer the least divisor; FAVOR+ needs none. Default 1e-6. */
  epsilon?: number;
  /** Identity: factor of the query. FAVOR+: the factor of QKᵀ in the softmax, greater than 0. Default `1/√headDim`. */
  scale?: number;
  /**
   * For gated rules: `g`, of which a token multiplies the state by `e^g`. One number a KV head, or float32 [batch, kvHeads, keys], or
   * [batch, kvHeads, keys, features], a decay for each row of the state.
   */
  decay?: Tensor | ArrayLike<number>;
  /** For delta rules: β, float32 [batch, kvHeads, keys], or with one head for all. */
  beta?: Tensor;
  /** The state to go on from; float32, as `linearAttentionState` returns it. It is not changed. Default zeros. */
  state?: Tensor;
  /** Per batch: how many keys, from the first, are there; the others leave the state as it is. */
  keyLengths?: ArrayLike<number>;
  /** Axes of query, key, value, decay, beta and output: `'bhsd'` (default) or `'bshd'`, [batch, sequence, heads, …]. */
  layout?: Layout;
  /** The tensor to write, in place of a new one. */
  output?: Tensor;
};

const known: ReadonlySet<string> = new Set<keyof LinearAttentionOptions>([
  'update',
  'featureMap',
  'causal',
  'normalize',
  'epsilon',
  'scale',
  'decay',
  'beta',
  'state',
  'keyLengths',
  'layout',
  'output',
]);

/** Elements of a head's state, which a kernel holds in its scratch. */
const LARGEST_STATE = 2 ** 26;

/** A quotient of FAVOR+ has a divisor of at least 1, or no key at all. */
const LEAST_DIVISOR = 1e-30;

type Sizes = ReturnType<typeof checkSizes>;

/** A checked call. */
export type LinearProblem = Sizes & {
  runtime: Runtime;
  layout: Layout;
  query: Tensor;
  key: Tensor;
  value: Tensor;
  decay: Tensor | ArrayLike<number> | undefined;
  beta: Tensor | undefined;
  state: Tensor | undefined;
  keyLengths: ArrayLike<number> | undefined;
  causal: boolean;
  normalize: boolean;
  epsilon: number;
  /** Factor of the readout. */
  factor: number;
  map: KernelMap;
  stateShape: number[];
  output: Tensor | undefined;
  outputShape: number[];
};

/** Checks a call and fills in its defaults; nothing is written. */
export function linearProblem(
  where: string,
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: LinearAttentionOptions,
): LinearProblem {
  if (!(query instanceof Tensor)) throw wrongKind(where, 'query', 'a Tensor', query);
  checkOptions(where, options, known);
  const { runtime } = query;
  for (const [name, tensor] of Object.entries({ query, key, value }))
    checkTensor(where, name, tensor, runtime, { rank: 4 });
  const { update = 'linear', featureMap = 'identity', layout = 'bhsd', epsilon = 1e-6, keyLengths, output } = options;
  checkOneOf(where, 'update', update, ['linear', 'gated', 'delta', 'gatedDelta']);
  checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
  const sizes = checkSizes(where, layout, query, key, value);
  const { batch, heads, kvHeads, queries, keys, headDim, valueDim } = sizes;
  const length = Math.max(queries, keys);
  checkFeatureMap(where, featureMap, headDim, length);
  const isFavor = typeof featureMap === 'object' && 'projection' in featureMap;
  const isDelta = update === 'delta' || update === 'gatedDelta';
  const { causal = update !== 'linear', normalize = featureMap !== 'identity' && !isDelta } = options;
  for (const [name, flag] of Object.entries({ causal, normalize })) checkFlag(where, name, flag);
  if (isFavor && update !== 'linear') throw wrongValue(where, 'update', `is '${update}', but FAVOR+ needs 'linear'`);
  if (isFavor && !normalize) throw wrongValue(where, 'normalize', 'is false, but FAVOR+ is defined by its quotient');
  if (isDelta && normalize)
    throw wrongValue(where, 'normalize', `is true, but the rule '${update}' has no sum of keys`);
  if (!causal && update !== 'linear') throw wrongValue(where, 'causal', `is false, but the rule '${update}' is causal`);
  if (causal && queries !== keys)
    throw wrongValue(where, 'query', `has length ${queries}, but causal linear attention needs that of "key", ${keys}`);
  checkFinite(where, 'epsilon', epsilon);
  if (epsilon < 0) throw wrongValue(where, 'epsilon', `is ${epsilon}, not at least 0`);
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  checkFinite(where, 'scale', scale);
  if (isFavor) checkPositive(where, 'scale', scale);
  else if (options.scale !== undefined && featureMap !== 'identity')
    throw wrongValue(where, 'scale', `has no part in the feature map ${JSON.stringify(featureMap)}`);
  const map = kernelMap(featureMap, headDim, length, scale, whole(runtime).math);
  if (map.features * (valueDim + 16) > LARGEST_STATE)
    throw wrongValue(where, 'value', `has headDim ${valueDim}, too large for a state of ${map.features} features`);
  checkGates(where, options, sizes, map.features, update, layout, runtime);
  if (keyLengths !== undefined) checkKeyLengths(where, keyLengths, batch, keys);
  const columns = valueDim + (normalize ? 1 : 0) + (isFavor ? 1 : 0);
  const stateShape = [batch, kvHeads, map.features, columns];
  if (options.state !== undefined) {
    checkTensor(where, 'state', options.state, runtime);
    checkSameShape(where, 'state', options.state.shape, stateShape);
  }
  const outputShape = layout === 'bhsd' ? [batch, heads, queries, valueDim] : [batch, queries, heads, valueDim];
  const { decay, beta, state } = options;
  if (output !== undefined) {
    checkTensor(where, 'output', output, runtime);
    checkSameShape(where, 'output', output.shape, outputShape);
    const inputs = [query, key, value, decay, beta, state].filter((input) => input instanceof Tensor);
    if (inputs.some((input) => overlap(input, output))) throw wrongValue(where, 'output', 'overlaps an input');
  }
  return {
    ...sizes,
    runtime,
    layout,
    query,
    key,
    value,
    decay,
    beta,
    state,
    keyLengths,
    causal,
    normalize,
    epsilon: isFavor ? LEAST_DIVISOR : epsilon,
    factor: featureMap === 'identity' ? scale : 1,
    map,
    stateShape,
    output,
    outputShape,
  };
}
