import { checkInteger, checkPositive, checkSameShape, checkTensor, wrongKind, wrongValue } from '../check.ts';
import { whole } from '../runtime/whole.ts';
import { Tensor } from '../tensor.ts';

/**
 * Layer normalisation over the last axis, as `torch.nn.functional.layer_norm`:
 * `y = (x − μ)/√(σ² + ε)·weight + bias`. Source: Ba, Kiros, Hinton 2016, eq. 4.
 *
 * @param input float32 [..., dim]
 * @param weight float32 [dim]
 * @param bias float32 [dim]
 * @param epsilon default 1e-5
 * @returns [..., dim]
 * @throws as `scaledDotProductAttention`
 */
export function layerNorm(input: Tensor, weight: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  return normalize('layerNorm', input, weight, bias, epsilon, true);
}

/**
 * Root mean square normalisation over the last axis: `y = x/√(mean(x²) + ε)·weight`. Source: Zhang, Sennrich 2019, eq. 4.
 *
 * @param input float32 [..., dim]
 * @param weight float32 [dim]
 * @param epsilon default 1e-6
 * @returns [..., dim]
 * @throws as `scaledDotProductAttention`
 */
export function rmsNorm(input: Tensor, weight: Tensor, epsilon = 1e-6): Tensor {
  return normalize('rmsNorm', input, weight, undefined, epsilon, false);
}

/**
 * Group normalisation as `torch.nn.functional.group_norm`, with the channels last: `y = (x − μ)/√(σ² + ε)·weight + bias`, μ and σ² over
 * a batch's rows and the channels of a group. Source: Wu, He 2018, eq. 7.
 *
 * @param input float32 [batch, ..., channels]
 * @param groups of `channels / groups` neighbouring channels
 * @param weight float32 [channels]
 * @param bias float32 [channels]
 * @param epsilon default 1e-5
 * @returns [batch, ..., channels]
 * @throws as `scaledDotProductAttention`
 */
export function groupNorm(input: Tensor, groups: number, weight: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  const where = 'groupNorm';
  const channels = checkNorm(where, input, weight, bias, epsilon);
  if (input.shape.length < 2) throw wrongValue(where, 'input', `has shape [${input.shape}], but a batch is needed`);
  checkGroups(where, 'groups', groups, channels);
  return input.runtime.allOrNothing((make) => {
    const output = make(input.shape);
    const added = bias?.data;
    for (let batch = 0; batch < input.shape[0]; batch++) {
      const [from, to] = [input, output].map((tensor) => tensor.slice(batch, 1).data);
      const mean = groupMeans(from, channels, groups, (x) => x);
      const variance = groupMeans(from, channels, groups, (x, group) => (x - mean[group]) ** 2);
      const groupOf = (channel: number) => Math.floor((channel * groups) / channels);
      const scale = Float64Array.from(weight.data, (x, c) => x / Math.sqrt(variance[groupOf(c)] + epsilon));
      const shift = scale.map((factor, c) => (added ? added[c] : 0) - mean[groupOf(c)] * factor);
      for (let at = 0; at < from.length; )
        for (let c = 0; c < channels; c++, at++) to[at] = from[at] * scale[c] + shift[c];
    }
    return output;
  });
}

export function checkGroups(where: string, name: string, groups: number, channels: number): void {
  checkInteger(where, name, groups, 1);
  if (channels % groups > 0) throw wrongValue(where, name, `is ${groups}, which does not divide ${channels} channels`);
}

/** Per group, the mean of a function of its elements. */
function groupMeans(
  data: Float32Array,
  channels: number,
  groups: number,
  of: (x: number, group: number) => number,
): Float64Array {
  const sums = new Float64Array(groups);
  for (let at = 0; at < data.length; )
    for (let group = 0; group < groups; group++)
      for (const end = at + channels / groups; at < end; at++) sums[group] += of(data[at], group);
  return sums.map((sum) => (sum * groups) / data.length);
}

function normalize(
  where: string,
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  epsilon: number,
  centered: boolean,
): Tensor {
  const dim = checkNorm(where, input, weight, bias, epsilon);
  const { runtime } = input;
  return runtime.allOrNothing((make) => {
    const output = make(input.shape);
    const addresses = [output.address, input.address, weight.address, bias?.address ?? 0] as const;
    whole(runtime).kernels.normalize(...addresses, input.size / dim, dim, epsilon, centered);
    return output;
  });
}

/** Returns how many features there are. */
function checkNorm(where: string, input: Tensor, weight: Tensor, bias: Tensor | undefined, epsilon: number): number {
  if (!(input instanceof Tensor)) throw wrongKind(where, 'input', 'a Tensor', input);
  const { runtime } = input;
  checkTensor(where, 'input', input, runtime);
  checkTensor(where, 'weight', weight, runtime, { rank: 1 });
  const [dim] = weight.shape;
  if (dim === 0) throw wrongValue(where, 'weight', 'is empty');
  if (input.shape.at(-1) !== dim)
    throw wrongValue(where, 'input', `has shape [${input.shape}], but "weight" needs ${dim} features`);
  if (bias !== undefined) {
    checkTensor(where, 'bias', bias, runtime);
    checkSameShape(where, 'bias', bias.shape, [dim]);
  }
  checkPositive(where, 'epsilon', epsilon);
  return dim;
}
