import { everyScore } from '../attention/modify.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkOptions, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import { elementOf, type OnnxGraph } from './graph.ts';
import { checkCall, checkOnnx, fromFloat32, type OnnxDType, type OnnxTensor, toFloat32 } from './tensor.ts';

const floats: OnnxDType[] = ['float32', 'float64', 'float16', 'bfloat16'];
const known = new Set(['scale', 'score_mod', 'prob_mod', 'softmax_precision']);

/** Inputs of `FlexAttention`. */
export type FlexAttentionInputs = {
  /** [batch, q_num_heads, q_len, head_size] */
  Q: OnnxTensor;
  /** [batch, kv_num_heads, kv_len, head_size] */
  K: OnnxTensor;
  /** [batch, kv_num_heads, kv_len, v_head_size] */
  V: OnnxTensor;
};

/** Attributes of `FlexAttention`; the graphs are given as objects. */
export type FlexAttentionAttributes = {
  /** Default `1/√head_size`. */
  scale?: number;
  /** Of element-wise operators, on the scores [batch, q_num_heads, q_len, kv_len]. */
  score_mod?: OnnxGraph;
  /** The same on the weights, after the softmax. */
  prob_mod?: OnnxGraph;
  /** Accepted; everything is computed in float32. */
  softmax_precision?: number;
};

/**
 * ONNX `FlexAttention` (ai.onnx.preview, opset 1), in float32 whatever the inputs' type. The graphs are applied tile by tile: no matrix of
 * scores is made.
 *
 * @returns Y [batch, q_num_heads, q_len, v_head_size] in the dtype of Q
 * @throws TypeError and RangeError for inputs and graphs that do not fit, before anything is computed
 */
export function FlexAttention(
  runtime: Runtime,
  inputs: FlexAttentionInputs,
  attributes: FlexAttentionAttributes = {},
): { Y: OnnxTensor } {
  const where = 'onnx.FlexAttention';
  checkCall(where, inputs, attributes);
  const { Q, K, V } = inputs;
  for (const [name, tensor] of Object.entries({ Q, K, V })) {
    checkOnnx(where, name, tensor, floats);
    if (tensor.shape.length !== 4) throw wrongValue(where, name, `has rank ${tensor.shape.length}, not 4`);
  }
  checkOptions(where, attributes, known);
  const [batch, heads, queries] = Q.shape;
  const sizes = [batch, heads, queries, K.shape[2]] as const;
  const mod = (name: 'score_mod' | 'prob_mod') => {
    const graph = attributes[name];
    return graph && everyScore(elementOf(where, name, graph, sizes, whole(runtime).math));
  };
  const options = { scale: attributes.scale, scoreMod: mod('score_mod'), probMod: mod('prob_mod') };
  return runtime.scope(() => {
    const [q, k, v] = [Q, K, V].map((tensor) => runtime.tensor(tensor.shape, toFloat32(tensor)));
    const output = scaledDotProductAttention(q, k, v, options);
    return { Y: fromFloat32(Q.dtype, output.shape, output.toArray()) };
  });
}
