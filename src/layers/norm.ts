import { checkPositive, checkSameShape, checkTensor, wrongKind, wrongValue } from '../check.ts';
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

function normalize(
  where: string,
  input: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  epsilon: number,
  centered: boolean,
): Tensor {
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
  return runtime.allOrNothing((make) => {
    const output = make(input.shape);
    const addresses = [output.address, input.address, weight.address, bias?.address ?? 0] as const;
    whole(runtime).kernels.normalize(...addresses, input.size / dim, dim, epsilon, centered);
    return output;
  });
}
