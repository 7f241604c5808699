import { Block, Kernel, Linear } from '../../assembly/params.ts';
import { checkSameShape, checkTensor, wrongKind, wrongValue } from '../check.ts';
import { tallMicroKernels } from '../runtime/features.ts';
import { whole } from '../runtime/whole.ts';
import { Tensor } from '../tensor.ts';

/** A task's scratch takes 256 bytes a feature, which must stay below what 32 bits address. */
const LARGEST = 2 ** 22;

/**
 * The affine map `y = x·Wᵀ + b`, as `torch.nn.functional.linear`.
 *
 * @param input float32 [..., inFeatures]
 * @param weight float32 [outFeatures, inFeatures]
 * @param bias float32 [outFeatures]
 * @returns [..., outFeatures]
 * @throws as `scaledDotProductAttention`
 */
export function linear(input: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const where = 'linear';
  if (!(input instanceof Tensor)) throw wrongKind(where, 'input', 'a Tensor', input);
  const { runtime } = input;
  checkTensor(where, 'input', input, runtime);
  checkTensor(where, 'weight', weight, runtime, { rank: 2 });
  const [outFeatures, inFeatures] = weight.shape;
  if (input.shape.length === 0 || input.shape.at(-1) !== inFeatures) {
    throw wrongValue(
      where,
      'input',
      `has shape [${input.shape}], but "weight" [${weight.shape}] needs ${inFeatures} features`,
    );
  }
  if (inFeatures === 0) throw wrongValue(where, 'weight', 'has 0 input features');
  if (inFeatures > LARGEST)
    throw wrongValue(where, 'weight', `has ${inFeatures} input features, but at most ${LARGEST} are possible`);
  if (bias) {
    checkTensor(where, 'bias', bias, runtime);
    checkSameShape(where, 'bias', bias.shape, [outFeatures]);
  }
  const rows = input.size / inFeatures;
  return runtime.allOrNothing((make) => {
    const output = make([...input.shape.slice(0, -1), outFeatures]);
    runtime.withScratch([Linear.words * 4], (params) => {
      const tensors = [output.address, input.address, weight.address, bias?.address ?? 0];
      const words = [...tensors, rows, inFeatures, outFeatures, Number(tallMicroKernels)];
      new Int32Array(runtime.buffer, params, Linear.words).set(words);
      const tasks = rows <= Block.fewRows ? outFeatures / Block.features : rows / Block.queries;
      whole(runtime).run(Kernel.linear, params, Math.ceil(tasks), rows * inFeatures * outFeatures);
    });
    return output;
  });
}
