import {
  favorFeatures,
  type LinearAttentionOptions,
  linearAttention,
  linearAttentionState,
  retentionDecay,
  type Tensor,
} from 'wasm-attention';
import {
  type NdArray,
  type LinearAttentionOptions as ReferenceOptions,
  linearAttention as reference,
} from 'wasm-attention/reference';
import { inputs as arraysFor, featuresOf, MAPS, RULES, uploaded } from '../linearInputs.ts';
import type { Choice } from './choice.ts';
import { expectClose, type Inputs, type Operation } from './trial.ts';

function problem(inputs: Inputs, pick: Choice) {
  const update = pick.one(...RULES);
  const headDim = pick.size(9, 40);
  const favor = favorFeatures({ headDim, features: pick.integer(1, 12), seed: pick.seed() });
  const featureMap = update === 'linear' && pick.chance() ? favor : pick.one(...MAPS);
  const kvHeads = pick.integer(1, 3);
  const queries = pick.size(12, 70, 0);
  const causal = update !== 'linear' || pick.chance();
  const sizes = {
    batch: pick.integer(1, 2),
    kvHeads,
    heads: kvHeads * pick.integer(1, 3),
    queries,
    keys: causal ? queries : pick.size(12, 70, 0),
    headDim,
    valueDim: pick.size(9, 40),
  };
  const plain: ReferenceOptions = {
    update,
    featureMap,
    causal,
    layout: pick.one('bhsd' as const, 'bshd' as const),
    keyLengths: pick.maybe(() => pick.list(sizes.batch, 0, sizes.keys)),
  };
  const gates = pick.one('head' as const, 'token' as const, 'feature' as const);
  const { query, key, value, given } = arraysFor(sizes, plain, gates, featuresOf(featureMap, headDim));
  const options: LinearAttentionOptions = inputs.track(uploaded(inputs.runtime, given));
  const truth = () => reference(query, key, value, given);
  return { args: [query, key, value].map((array) => inputs.upload(array)), options, truth };
}

const output: Operation = (inputs, pick) => {
  const { args, options, truth } = problem(inputs, pick);
  return {
    args: [...args, options],
    call: linearAttention,
    check: (found: Tensor) => expectClose(found.data, truth().output.data),
  };
};

/** Rows of FAVOR+'s state are held in units of their last column's power of 2. */
function unscaled({ shape, data }: NdArray, { featureMap }: LinearAttentionOptions): ArrayLike<number> {
  if (typeof featureMap !== 'object') return data;
  const columns = shape[3];
  return Array.from(data, (x, at) => {
    const exponent = data[at - (at % columns) + columns - 1];
    return at % columns === columns - 1 || exponent === -Infinity ? 0 : x * 2 ** exponent;
  });
}

const state: Operation = (inputs, pick) => {
  const { args, options, truth } = problem(inputs, pick);
  return {
    args: [...args, options],
    call: linearAttentionState,
    check(found: { output: Tensor; state: Tensor }) {
      expectClose(found.output.data, truth().output.data);
      expectClose(unscaled(found.state, options), unscaled(truth().state, options), 'state');
    },
  };
};

const features: Operation = (_inputs, pick) => {
  const options = { headDim: pick.integer(1, 20), features: pick.maybe(() => pick.integer(1, 30)), seed: pick.seed() };
  return {
    args: [options],
    call: favorFeatures,
    check({ projection, features: count }: ReturnType<typeof favorFeatures>) {
      if (projection.length !== count * options.headDim || !projection.every(Number.isFinite))
        throw new Error('the features are not [features, headDim] finite numbers');
    },
  };
};

const decay: Operation = (_inputs, pick) => {
  const heads = pick.integer(1, 40);
  return {
    args: [heads],
    call: retentionDecay,
    check: (found: Float64Array) =>
      expectClose(
        found,
        Array.from({ length: heads }, (_, h) => Math.log1p(-(2 ** (-5 - h)))),
      ),
  };
};

export const linearOperations: Record<string, Operation> = {
  linearAttention: output,
  linearAttentionState: state,
  favorFeatures: features,
  retentionDecay: decay,
};
