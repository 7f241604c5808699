import { CausalConv, Kernel } from '../../assembly/params.ts';
import { checkOneOf, checkSameShape, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import { checkCall, checkOnnx, fromFloat32, type OnnxDType, type OnnxTensor, toFloat32 } from './tensor.ts';

const floats: OnnxDType[] = ['float32', 'float16', 'bfloat16'];

/**
 * ONNX `CausalConvWithState` (opset 27): the short depthwise convolution before gated linear attention,
 * `y[t] = bias + Σ_k weight[k]·x[t + k − (size − 1)]`, x going back into the past, and then `y·σ(y)` with activation 'silu'.
 *
 * @param inputs input [batch, channels, length]; weight [channels, 1, size]; bias [channels]; past_state [batch, channels, size − 1],
 * zeros if absent
 * @param attributes activation 'none' (default), 'silu' or its other name 'swish'
 * @returns output in the shape and dtype of input; present_state, the last `size − 1` of past and input, in the dtype of past_state or input
 * @throws TypeError and RangeError for inputs that do not fit, before anything is computed
 */
export function CausalConvWithState(
  runtime: Runtime,
  inputs: { input: OnnxTensor; weight: OnnxTensor; bias?: OnnxTensor; past_state?: OnnxTensor },
  attributes: { activation?: string } = {},
): { output: OnnxTensor; present_state: OnnxTensor } {
  const where = 'onnx.CausalConvWithState';
  checkCall(where, inputs, attributes);
  const { input, weight, bias, past_state } = inputs;
  const { activation = 'none' } = attributes;
  checkOneOf(where, 'activation', activation, ['none', 'silu', 'swish']);
  for (const [name, tensor] of Object.entries({ input, weight, bias, past_state })) {
    if (tensor || name === 'input' || name === 'weight') checkOnnx(where, name, tensor as OnnxTensor, floats);
  }
  if (input.shape.length !== 3) throw wrongValue(where, 'input', `has rank ${input.shape.length}, not 3`);
  const [batch, channels, length] = input.shape;
  const size = weight.shape.at(-1) ?? 0;
  checkSameShape(where, 'weight', weight.shape, [channels, 1, size]);
  if (size < 1) throw wrongValue(where, 'weight', 'has size 0, but at least 1 is needed');
  if (bias) checkSameShape(where, 'bias', bias.shape, [channels]);
  const stateShape = [batch, channels, size - 1];
  if (past_state) checkSameShape(where, 'past_state', past_state.shape, stateShape);
  return runtime.scope(() => {
    const upload = (tensor: OnnxTensor) => runtime.tensor(tensor.shape, toFloat32(tensor));
    const given = [input, weight, bias, past_state].map((tensor) => tensor && upload(tensor).address);
    const [output, state] = [runtime.empty(input.shape), runtime.empty(stateShape)];
    runtime.withScratch([CausalConv.words * 4], (params) => {
      const addresses = [output.address, state.address, ...given.map((address) => address ?? 0)];
      const words = [...addresses, channels, length, size, Number(activation !== 'none')];
      new Int32Array(runtime.buffer, params, CausalConv.words).set(words);
      whole(runtime).run(Kernel.causalConv, params, batch * channels, batch * channels * length * size);
    });
    return {
      output: fromFloat32(input.dtype, input.shape, output.toArray()),
      present_state: fromFloat32((past_state ?? input).dtype, stateShape, state.toArray()),
    };
  });
}
