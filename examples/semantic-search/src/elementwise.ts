import type { Tensor } from 'wasm-attention';

/** `x += y`, where `y` has the shape of `x` or of its last axes and repeats. */
export function add(x: Tensor, y: Tensor): Tensor {
  const [to, from] = [x.data, y.data];
  for (let i = 0; i < to.length; i++) to[i] += from[i % from.length];
  return x;
}

export function mapInPlace(x: Tensor, fn: (value: number) => number): Tensor {
  const { data } = x;
  for (let i = 0; i < data.length; i++) data[i] = fn(data[i]);
  return x;
}

export const relu = (x: Tensor) => mapInPlace(x, (value) => Math.max(value, 0));

/** `(x − mean)/√(variance + 1e-6)·scale + bias` over the last axis, into a new tensor. */
export function layerNorm(x: Tensor, scale: Float32Array, bias: Float32Array): Tensor {
  const width = scale.length;
  const output = x.runtime.empty(x.shape);
  const [from, to] = [x.data, output.data];
  for (let row = 0; row < from.length; row += width) {
    let [sum, squares] = [0, 0];
    for (let c = 0; c < width; c++) sum += from[row + c];
    const mean = sum / width;
    for (let c = 0; c < width; c++) squares += (from[row + c] - mean) ** 2;
    const inverse = 1 / Math.sqrt(squares / width + 1e-6);
    for (let c = 0; c < width; c++) to[row + c] = (from[row + c] - mean) * inverse * scale[c] + bias[c];
  }
  return output;
}

/** [batch, tokens, width] → [batch, width]: the mean over the first `lengths[b]` tokens; 0 where there are none. */
export function meanOfTokens(x: Tensor, lengths: readonly number[]): Tensor {
  const [batch, tokens, width] = x.shape;
  const output = x.runtime.zeros([batch, width]);
  const [from, to] = [x.data, output.data];
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < lengths[b]; t++) {
      for (let c = 0; c < width; c++) to[b * width + c] += from[(b * tokens + t) * width + c] / lengths[b];
    }
  }
  return output;
}

/** Scales every row to length 1. */
export function normalise(x: Tensor): Tensor {
  const width = x.shape.at(-1)!;
  const { data } = x;
  for (let row = 0; row < data.length; row += width) {
    let squares = 0;
    for (let c = 0; c < width; c++) squares += data[row + c] ** 2;
    const inverse = 1 / Math.sqrt(Math.max(squares, 1e-12));
    for (let c = 0; c < width; c++) data[row + c] *= inverse;
  }
  return x;
}
