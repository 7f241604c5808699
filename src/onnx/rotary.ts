import { wrongValue } from '../check.ts';
import { applyRotaryTables } from '../position/rotaryTables.ts';
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
} from './tensor.ts';

const floats: OnnxDType[] = ['float32', 'float16', 'bfloat16'];

/**
 * ONNX `RotaryEmbedding` (opset 23).
 *
 * @param inputs X [batch, num_heads, sequence, head_size] or [batch, sequence, num_heads · head_size]; cos_cache and
 * sin_cache [positions, rotary/2] with position_ids int64 [batch, sequence], or [batch, sequence, rotary/2] without
 * @returns Y in the shape and dtype of X
 */
export function RotaryEmbedding(
  runtime: Runtime,
  inputs: { X: OnnxTensor; cos_cache: OnnxTensor; sin_cache: OnnxTensor; position_ids?: OnnxTensor },
  attributes: { interleaved?: number; num_heads?: number; rotary_embedding_dim?: number } = {},
): { Y: OnnxTensor } {
  const where = 'onnx.RotaryEmbedding';
  checkCall(where, inputs, attributes);
  const { X, cos_cache, sin_cache, position_ids } = inputs;
  for (const [name, tensor] of Object.entries({ X, cos_cache, sin_cache })) checkOnnx(where, name, tensor, floats);
  if (position_ids) checkOnnx(where, 'position_ids', position_ids, ['int64']);
  const heads = splitHeads(where, 'X', X, attributes.num_heads);
  const [batch, count, length, headDim] = heads.shape;
  const pairs = (attributes.rotary_embedding_dim || headDim) / 2;
  const rank = position_ids ? 2 : 3;
  if (cos_cache.shape.length !== rank || cos_cache.shape.at(-1) !== pairs) {
    throw wrongValue(
      where,
      'cos_cache',
      `has shape [${cos_cache.shape}], but rank ${rank} with ${pairs} columns is needed`,
    );
  }
  return runtime.scope(() => {
    const table = (cache: OnnxTensor) => runtime.tensor([cache.data.length / pairs, pairs], toFloat32(cache));
    const tables = { cos: table(cos_cache), sin: table(sin_cache) };
    const positions = position_ids
      ? Array.from(position_ids.data as BigInt64Array, Number)
      : Array.from({ length: batch * length }, (_, at) => at);
    const style = attributes.interleaved === 1 ? 'interleaved' : 'half';
    const input = runtime.tensor(heads.shape, toFloat32(heads));
    const output = applyRotaryTables(input, tables, { positions, style }).toArray();
    const values = X.shape.length === 4 ? output : swapMiddle(output, batch, count, length, headDim);
    return { Y: fromFloat32(X.dtype, X.shape, values) };
  });
}
