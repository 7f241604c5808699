import {
  type AttentionOptions,
  attentionState,
  attentionWeights,
  everyScore,
  scaledDotProductAttention,
  scaledDotProductAttentionAsync,
  type Tensor,
} from 'wasm-attention';
import {
  type AttentionResult,
  attention,
  type NdArray,
  type AttentionOptions as ReferenceOptions,
} from 'wasm-attention/reference';
import type { Choice } from './choice.ts';
import { type Masked, maskFor } from './masks.ts';
import { expectClose, type Inputs, type Operation } from './trial.ts';

type Arrays = [query: Array, key: Array, value: Array];
type Array = NdArray & { data: Float32Array };
type Problem = { tensors: Tensor[]; options: AttentionOptions; truth: (changes?: object) => AttentionResult };

const NEVER = -Infinity;

/** A call of any sizes and options that go together, and its truth. */
function problem(inputs: Inputs, pick: Choice, outputs = true): Problem {
  const [batch, kvHeads, group] = [pick.integer(1, 2), pick.integer(1, 3), pick.size(3, 9)];
  const [queries, keys] = [pick.size(20, 70, 0), pick.size(24, 140, 0)];
  const [headDim, valueDim] = [pick.size(12, 64), pick.size(12, 64)];
  const layout = pick.one('bhsd' as const, 'bshd' as const);
  const heads = kvHeads * group;
  const masked = pick.maybe(() => maskFor({ batch, heads, queries, keys }, inputs, pick));
  const length = masked?.square ? queries : keys;
  const shape = (h: number, n: number, d: number) => (layout === 'bhsd' ? [batch, h, n, d] : [batch, n, h, d]);
  const arrays: Arrays = [
    inputs.random(shape(heads, queries, headDim)),
    inputs.random(shape(kvHeads, length, headDim)),
    inputs.random(shape(kvHeads, length, valueDim)),
  ];
  // Where it is visible the truth is not finite, and counts for nothing; where it is hidden it must not be seen.
  const spoiled = pick.maybe(() => pick.one(Number.NaN, Infinity));
  if (spoiled !== undefined) {
    arrays[1].data.fill(Number.NaN, -headDim);
    arrays[2].data.fill(spoiled, -valueDim);
  }
  const shared: ReferenceOptions = {
    layout,
    causal: pick.maybe(() => pick.chance()),
    scale: pick.maybe(() => pick.one(0, 0.125, -0.5, 3)),
    softcap: pick.maybe(() => pick.one(0.5, 5, 50)),
    window: pick.maybe(() => [pick.one(0, 3, 40, Infinity), pick.one(0, 2, 70, Infinity)] as const),
    keyLengths: pick.maybe(() => pick.list(batch, 0, length)),
    alibiSlopes: pick.maybe(() => Array.from(inputs.random([heads], 0.5).data)),
    sink: pick.maybe(() => Array.from(inputs.random([heads], 3).data)),
    ...position(masked, batch, pick),
  };
  const biasShape = [batch, heads, queries, length].map((n) => (pick.chance() ? n : 1));
  const bias = pick.maybe(() => inputs.random(biasShape));
  bias?.data.forEach((x, at) => {
    if (x > 0.8) bias.data[at] = NEVER;
  });
  const options: AttentionOptions = {
    ...shared,
    mask: masked?.mask,
    bias: bias && inputs.upload(bias),
    output: outputs ? pick.maybe(() => inputs.upload(inputs.random(shape(heads, queries, valueDim)))) : undefined,
  };
  const truth = (changes = {}) => attention(...arrays, { ...shared, mask: masked?.sees, bias, ...changes });
  return { tensors: arrays.map((array) => inputs.upload(array)), options, truth };
}

function position(masked: Masked | undefined, batch: number, pick: Choice): ReferenceOptions {
  if (masked?.square) return { queryOffset: 0 };
  return {
    causalAlignment: pick.maybe(() => pick.one('bottom-right' as const, 'top-left' as const)),
    queryOffset: pick.maybe(() => (pick.chance() ? pick.integer(-20, 100) : pick.list(batch, -20, 100))),
  };
}

const written = ({ options: { output } }: Problem) => (output ? [output] : []);

const scaledDotProduct: Operation = (inputs, pick) => {
  const one = problem(inputs, pick);
  return {
    args: [...one.tensors, one.options],
    call: scaledDotProductAttention,
    check: (output: Tensor) => expectClose(output.data, one.truth().output.data),
    writes: written(one),
  };
};

const state: Operation = (inputs, pick) => {
  const one = problem(inputs, pick);
  return {
    args: [...one.tensors, one.options],
    call: attentionState,
    check({ output, lse }: { output: Tensor; lse: Tensor }) {
      const truth = one.truth();
      expectClose(output.data, truth.output.data);
      expectClose(lse.data, truth.lse.data, 'lse');
    },
    writes: written(one),
  };
};

const weights: Operation = (inputs, pick) => {
  const { tensors, options, truth } = problem(inputs, pick, false);
  const { output: _, ...rest } = options;
  const stage = pick.one('scores' as const, 'softcap' as const, 'masked' as const, 'weights' as const);
  const part = { scores: 'scores', softcap: 'capped', masked: 'masked', weights: 'weights' } as const;
  return {
    args: [tensors[0], tensors[1], { ...rest, stage }],
    call: attentionWeights,
    check: (found: Tensor) => expectClose(found.data, truth()[part[stage]].data, stage),
  };
};

/** A score modification adds what a bias would; a weight modification halves the output. */
const modified: Operation = (inputs, pick) => {
  const one = problem(inputs, pick);
  const { bias: _, ...rest } = one.options;
  const add = (b: number, h: number, i: number, j: number) => ((b + 2 * h + 3 * i + 5 * j) % 7) / 7;
  const score = pick.chance();
  const halved = pick.chance();
  const options: AttentionOptions = {
    ...rest,
    scoreMod: score ? everyScore((x, b, h, i, j) => x + add(b, h, i, j)) : undefined,
    probMod: halved ? everyScore((x) => x / 2) : undefined,
    maskMod: pick.maybe(() => () => true),
  };
  return {
    args: [...one.tensors, options],
    call: scaledDotProductAttention,
    check(output: Tensor) {
      const { scores } = one.truth();
      const [batch, heads, queries, keys] = scores.shape;
      const data = scores.data.map((_, at) => {
        const [j, i, head] = [at % keys, Math.floor(at / keys) % queries, Math.floor(at / keys / queries)];
        return score ? add(Math.floor(head / heads), head % heads, i, j) : 0;
      });
      const truth = one.truth({ bias: { shape: [batch, heads, queries, keys], data } }).output.data;
      expectClose(output.data, halved ? truth.map((x) => x / 2) : truth);
    },
    writes: written(one),
  };
};

const asynchronous: Operation = (inputs, pick) => {
  const one = problem(inputs, pick);
  const total: number[] = [];
  const options = { ...one.options, onProgress: (done: number, of: number) => void total.push(done, of) };
  return {
    args: [...one.tensors, options],
    call: scaledDotProductAttentionAsync,
    check(output: Tensor) {
      expectClose(output.data, one.truth().output.data);
      if (output.size > 0 && total.at(-1) !== total.at(-2)) throw new Error('progress did not reach the end');
    },
    writes: written(one),
  };
};

export const attentionOperations: Record<string, Operation> = {
  scaledDotProductAttention: scaledDotProduct,
  attentionState: state,
  attentionWeights: weights,
  'scoreMod, probMod': modified,
  scaledDotProductAttentionAsync: asynchronous,
};
