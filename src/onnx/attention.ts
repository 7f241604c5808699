import type { AttentionOptions } from '../attention/options.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { attentionWeights, type WeightsStage } from '../attention/weights.ts';
import { wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import {
  checkCall,
  checkOnnx,
  fromFloat32,
  type OnnxDType,
  type OnnxTensor,
  splitHeads,
  swapMiddle,
  toFloat32,
  upload,
} from './tensor.ts';

const floats: OnnxDType[] = ['float32', 'float16', 'bfloat16'];
const stages: WeightsStage[] = ['scores', 'softcap', 'masked', 'weights'];

/** Inputs of `Attention`. */
export type AttentionInputs = {
  /** [batch, q_num_heads, q_len, head_size] or [batch, q_len, q_num_heads · head_size] */
  Q: OnnxTensor;
  /** [batch, kv_num_heads, kv_len, head_size] or [batch, kv_len, kv_num_heads · head_size] */
  K: OnnxTensor;
  /** As K, with v_head_size. */
  V: OnnxTensor;
  /** bool (true = attend) or float (added), broadcast to [batch, q_num_heads, q_len, total_len]; a short last axis hides the rest. */
  attn_mask?: OnnxTensor;
  /** [batch, kv_num_heads, past_len, head_size] */
  past_key?: OnnxTensor;
  /** [batch, kv_num_heads, past_len, v_head_size] */
  past_value?: OnnxTensor;
  /** int64 [batch]: how many keys are real. */
  nonpad_kv_seqlen?: OnnxTensor;
};

/** Attributes of `Attention`. */
export type AttentionAttributes = {
  /** 1: a query sees no later key. Default 0. */
  is_causal?: number;
  /** Needed where Q has three dimensions. */
  q_num_heads?: number;
  /** Needed where K and V have three dimensions. */
  kv_num_heads?: number;
  /** Default `1/√head_size`. */
  scale?: number;
  /** 0 (default): none. */
  softcap?: number;
  /** Keys before its own that a query sees; −1 (default): all. */
  left_window_size?: number;
  /** Keys after its own that a query sees; −1 (default): all. */
  right_window_size?: number;
  /** 0 scale·QKᵀ, 1 after softcap, 2 after softcap, bias and mask, 3 after softmax; only with it is `qk_matmul_output` computed. */
  qk_matmul_output_mode?: number;
  /** Accepted; the softmax is always in float32. */
  softmax_precision?: number;
};

/**
 * ONNX `Attention` (opset 23 to 25). Query `i` has position `i + offset`: the past's length, `nonpad_kv_seqlen − q_len`, or 0.
 *
 * @returns Y in the rank and dtype of Q; present_key and present_value with a past; qk_matmul_output with its mode
 * @throws TypeError and RangeError for inputs that do not fit, before anything is computed
 */
export function Attention(runtime: Runtime, inputs: AttentionInputs, attributes: AttentionAttributes = {}) {
  const where = 'onnx.Attention';
  checkCall(where, inputs, attributes);
  const { Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen } = inputs;
  for (const [name, tensor] of Object.entries({ Q, K, V, past_key, past_value })) {
    if (tensor || 'QKV'.includes(name)) checkOnnx(where, name, tensor as OnnxTensor, floats);
  }
  if (attn_mask) checkOnnx(where, 'attn_mask', attn_mask, [...floats, 'bool']);
  if (nonpad_kv_seqlen) checkOnnx(where, 'nonpad_kv_seqlen', nonpad_kv_seqlen, ['int64']);
  if (!past_key !== !past_value) throw wrongValue(where, 'past_value', 'and "past_key" must be given together');
  if (past_key && nonpad_kv_seqlen) throw wrongValue(where, 'nonpad_kv_seqlen', 'cannot be given with a past');
  const query = splitHeads(where, 'Q', Q, attributes.q_num_heads);
  const key = withPast(where, 'K', splitHeads(where, 'K', K, attributes.kv_num_heads), past_key);
  const value = withPast(where, 'V', splitHeads(where, 'V', V, attributes.kv_num_heads), past_value);
  const [batch, heads, queries] = query.shape;
  const keyLengths = nonpad_kv_seqlen && Array.from(nonpad_kv_seqlen.data as BigInt64Array, Number);
  const { left_window_size: left = -1, right_window_size: right = -1 } = attributes;
  const pastLength = past_key ? past_key.shape[2] : 0;

  return runtime.scope(() => {
    const options: AttentionOptions = {
      scale: attributes.scale,
      softcap: attributes.softcap || undefined,
      causal: attributes.is_causal === 1,
      window: left < 0 && right < 0 ? undefined : [unbounded(left), unbounded(right)],
      keyLengths,
      queryOffset: keyLengths ? keyLengths.map((length) => length - queries) : pastLength,
      mask: attn_mask && upload(runtime, lengthened(attn_mask, key.shape[2])),
    };
    const [q, k, v] = [query, key, value].map((tensor) => runtime.tensor(tensor.shape, toFloat32(tensor)));
    const output = scaledDotProductAttention(q, k, v, options).toArray();
    const valueDim = value.shape[3];
    const Y =
      Q.shape.length === 4
        ? fromFloat32(Q.dtype, [batch, heads, queries, valueDim], output)
        : fromFloat32(Q.dtype, [batch, queries, heads * valueDim], swapMiddle(output, batch, heads, queries, valueDim));
    const mode = attributes.qk_matmul_output_mode;
    return {
      Y,
      present_key: past_key && fromFloat32(K.dtype, key.shape, key.data as Float32Array),
      present_value: past_value && fromFloat32(V.dtype, value.shape, value.data as Float32Array),
      qk_matmul_output:
        mode === undefined
          ? undefined
          : fromFloat32(
              Q.dtype,
              [batch, heads, queries, key.shape[2]],
              attentionWeights(q, k, { ...options, stage: stages[mode] }).toArray(),
            ),
    };
  });
}

function unbounded(size: number): number {
  return size < 0 ? Number.POSITIVE_INFINITY : size;
}

/** The past followed by the present, along the sequence. */
function withPast(where: string, name: string, present: OnnxTensor, past: OnnxTensor | undefined): OnnxTensor {
  if (!past) return present;
  const [batch, heads, length, dim] = present.shape;
  const before = past.shape[2];
  if (past.shape.length !== 4 || past.shape[0] !== batch || past.shape[1] !== heads || past.shape[3] !== dim) {
    throw wrongValue(where, name, `has shape [${present.shape}], but its past has [${past.shape}]`);
  }
  const data = new Float32Array(batch * heads * (before + length) * dim);
  const [old, fresh] = [toFloat32(past), toFloat32(present)];
  for (let head = 0; head < batch * heads; head++) {
    const start = head * (before + length) * dim;
    data.set(old.subarray(head * before * dim, (head + 1) * before * dim), start);
    data.set(fresh.subarray(head * length * dim, (head + 1) * length * dim), start + before * dim);
  }
  return { dtype: 'float32', shape: [batch, heads, before + length, dim], data };
}

/** A mask whose last axis is shorter than the keys hides the keys beyond it. */
function lengthened(mask: OnnxTensor, keys: number): OnnxTensor {
  const width = mask.shape.at(-1) ?? 1;
  if (width >= keys || width === 1) return mask;
  const isBool = mask.dtype === 'bool';
  const rows = mask.data.length / width;
  const values = isBool ? (mask.data as Uint8Array) : toFloat32(mask);
  const data = isBool ? new Uint8Array(rows * keys) : new Float32Array(rows * keys).fill(Number.NEGATIVE_INFINITY);
  for (let row = 0; row < rows; row++) data.set(values.subarray(row * width, (row + 1) * width), row * keys);
  return { dtype: isBool ? 'bool' : 'float32', shape: [...mask.shape.slice(0, -1), keys], data };
}
