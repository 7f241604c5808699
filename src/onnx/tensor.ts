import { checkInteger, wrongKind, wrongValue } from '../check.ts';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../half.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';

/** Element types, by their names here: `float64` is ONNX's DOUBLE, `bool` its BOOL. */
export type OnnxDType = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'bool' | 'int64';

/** A tensor as ONNX stores it, in C order; float16 and bfloat16 are their bits in a Uint16Array, bool is a Uint8Array. */
export type OnnxTensor = {
  dtype: OnnxDType;
  shape: readonly number[];
  data: Float32Array | Float64Array | Uint16Array | Uint8Array | BigInt64Array;
};

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  bool: Uint8Array,
  int64: BigInt64Array,
};

/** Inputs and attributes are objects. */
export function checkCall(where: string, inputs: unknown, attributes: unknown): void {
  for (const [name, value] of Object.entries({ inputs, attributes }))
    if (typeof value !== 'object' || value === null) throw wrongKind(where, name, 'an object', value);
}

export function checkOnnx(where: string, name: string, tensor: OnnxTensor, dtypes: readonly OnnxDType[]): void {
  if (!tensor || !dtypes.includes(tensor.dtype))
    throw wrongKind(where, name, `an OnnxTensor of ${dtypes.join(', ')}`, tensor?.dtype);
  if (!(tensor.data instanceof arrays[tensor.dtype]))
    throw wrongKind(where, name, `a ${arrays[tensor.dtype].name}`, tensor.data);
  if (!Array.isArray(tensor.shape)) throw wrongKind(where, name, 'an OnnxTensor with an array of sizes', tensor.shape);
  for (const size of tensor.shape) checkInteger(where, name, size);
  const size = tensor.shape.reduce((product, n) => product * n, 1);
  if (tensor.data.length !== size)
    throw wrongValue(where, name, `has ${tensor.data.length} elements, but shape [${tensor.shape}] needs ${size}`);
}

/** Its values as float32 (all kernels compute in float32). */
export function toFloat32({ dtype, data }: OnnxTensor): Float32Array {
  if (dtype === 'float32') return data as Float32Array;
  const read = dtype === 'float16' ? fromFloat16 : dtype === 'bfloat16' ? fromBfloat16 : Number;
  return Float32Array.from(data as Uint16Array, read);
}

/** Float32 values in one of ONNX's float types. */
export function fromFloat32(dtype: OnnxDType, shape: readonly number[], values: Float32Array): OnnxTensor {
  if (dtype === 'float32') return { dtype, shape, data: values };
  if (dtype === 'float64') return { dtype, shape, data: Float64Array.from(values) };
  return { dtype, shape, data: Uint16Array.from(values, dtype === 'float16' ? toFloat16 : toBfloat16) };
}

/** [batch, sequence, heads · dim] → [batch, heads, sequence, dim]; four dimensions stay as they are. */
export function splitHeads(where: string, name: string, tensor: OnnxTensor, heads: number | undefined): OnnxTensor {
  const { shape } = tensor;
  if (shape.length === 4) return fromFloat32('float32', shape, toFloat32(tensor));
  if (shape.length !== 3) throw wrongValue(where, name, `has rank ${shape.length}, not 3 or 4`);
  if (heads === undefined || heads < 1 || shape[2] % heads !== 0) {
    throw wrongValue(where, name, `has ${shape[2]} features, not a multiple of its ${heads} heads`);
  }
  const dim = shape[2] / heads;
  return {
    dtype: 'float32',
    shape: [shape[0], heads, shape[1], dim],
    data: swapMiddle(toFloat32(tensor), shape[0], shape[1], heads, dim),
  };
}

/** [a, b, c, d] → [a, c, b, d] */
export function swapMiddle(data: Float32Array, a: number, b: number, c: number, d: number): Float32Array {
  const swapped = new Float32Array(data.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      for (let k = 0; k < c; k++) {
        const from = ((i * b + j) * c + k) * d;
        swapped.set(data.subarray(from, from + d), ((i * c + k) * b + j) * d);
      }
    }
  }
  return swapped;
}

export function upload(runtime: Runtime, tensor: OnnxTensor): Tensor<'float32' | 'boolean'> {
  if (tensor.dtype === 'bool') return runtime.tensor(tensor.shape, tensor.data as Uint8Array, 'boolean');
  return runtime.tensor(tensor.shape, toFloat32(tensor));
}
