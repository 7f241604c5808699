import { linearAttentionState } from '../attention/linearAttention.ts';
import type { LinearAttentionOptions } from '../attention/linearOptions.ts';
import { checkInteger, checkOneOf, wrongValue } from '../check.ts';
import type { UpdateRule } from '../reference/linearAttention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { checkCall, checkOnnx, fromFloat32, type OnnxDType, type OnnxTensor, toFloat32 } from './tensor.ts';

const floats: OnnxDType[] = ['float32', 'float16', 'bfloat16'];
const rules: Record<string, UpdateRule> = {
  linear: 'linear',
  gated: 'gated',
  delta: 'delta',
  gated_delta: 'gatedDelta',
};

/** Inputs of `LinearAttention`. */
export type LinearAttentionInputs = {
  /** [batch, length, q_num_heads · d_k] */
  query: OnnxTensor;
  /** [batch, length, kv_num_heads · d_k] */
  key: OnnxTensor;
  /** [batch, length, kv_num_heads · d_v] */
  value: OnnxTensor;
  /** [batch, kv_num_heads, d_k, d_v] */
  past_state?: OnnxTensor;
  /** In log space, [batch, length, kv_num_heads · d_k] or [batch, length, kv_num_heads]; for the gated rules. */
  decay?: OnnxTensor;
  /** [batch, length, kv_num_heads] or [batch, length, 1]; for the delta rules. */
  beta?: OnnxTensor;
};

/** Attributes of `LinearAttention`. */
export type LinearAttentionAttributes = {
  q_num_heads: number;
  kv_num_heads: number;
  /** Default 'gated_delta'. */
  update_rule?: string;
  /** Default, and for 0, `1/√d_k`. */
  scale?: number;
  /** Accepted; the result does not depend on it. */
  chunk_size?: number;
};

/**
 * ONNX `LinearAttention` (opset 27): see `linearAttention` for the rules. Inputs that a rule does not use are ignored.
 *
 * @returns output [batch, length, q_num_heads · d_v] in the dtype of query; present_state in that of past_state, or of query
 * @throws TypeError and RangeError for inputs that do not fit, before anything is computed
 */
export function LinearAttention(
  runtime: Runtime,
  inputs: LinearAttentionInputs,
  attributes: LinearAttentionAttributes,
): { output: OnnxTensor; present_state: OnnxTensor } {
  const where = 'onnx.LinearAttention';
  checkCall(where, inputs, attributes);
  const { query, key, value, past_state, decay, beta } = inputs;
  const { q_num_heads, kv_num_heads, update_rule = 'gated_delta', scale } = attributes;
  checkOneOf(where, 'update_rule', update_rule, Object.keys(rules));
  checkInteger(where, 'q_num_heads', q_num_heads, 1);
  checkInteger(where, 'kv_num_heads', kv_num_heads, 1);
  for (const [name, tensor] of Object.entries({ query, key, value, past_state, decay, beta })) {
    if (tensor || name === 'query' || name === 'key' || name === 'value')
      checkOnnx(where, name, tensor as OnnxTensor, floats);
  }
  const update = rules[update_rule];
  const heads = (name: string, { shape }: OnnxTensor, count: number) => {
    if (shape.length !== 3) throw wrongValue(where, name, `has rank ${shape.length}, not 3`);
    if (shape[2] % count !== 0)
      throw wrongValue(where, name, `has ${shape[2]} features, not a multiple of its ${count} heads`);
    return [shape[0], shape[1], count, shape[2] / count];
  };
  const gated = update === 'gated' || update === 'gatedDelta';
  const isDelta = update === 'delta' || update === 'gatedDelta';
  const shapes = [
    heads('query', query, q_num_heads),
    heads('key', key, kv_num_heads),
    heads('value', value, kv_num_heads),
  ];
  const decayShape = decay && (decay.shape.at(-1) === kv_num_heads ? decay.shape : heads('decay', decay, kv_num_heads));
  return runtime.scope(() => {
    const upload = (tensor: OnnxTensor, shape: readonly number[]) => runtime.tensor(shape, toFloat32(tensor));
    const options: LinearAttentionOptions = { update, causal: true, layout: 'bshd', scale: scale || undefined };
    if (gated && decay) options.decay = upload(decay, decayShape!);
    if (isDelta && beta) options.beta = upload(beta, beta.shape);
    if (past_state) options.state = upload(past_state, past_state.shape);
    const [q, k, v] = [query, key, value].map((tensor, i) => upload(tensor, shapes[i]));
    const { output, state } = linearAttentionState(q, k, v, options);
    const [batch, length, , valueDim] = output.shape;
    return {
      output: fromFloat32(query.dtype, [batch, length, q_num_heads * valueDim], output.toArray()),
      present_state: fromFloat32((past_state ?? query).dtype, state.shape, state.toArray()),
    };
  });
}
