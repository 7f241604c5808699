import { bytesPerElement, type DType } from '../check.ts';
import type { Tensor } from '../tensor.ts';

// Steps between kernels, inside of layers, whose tensors are checked.

/** `x·σ(gate)`, written to the gates: x [groups, dim] or of the gates' size, gates [groups, rows, dim]. */
export function gateInto(gates: Tensor, x: Tensor): Tensor {
  const { runtime, address, size } = gates;
  if (x.size === size) {
    runtime.kernels.gate(address, x.address, 1, size);
    return gates;
  }
  const [groups, rows, dim] = gates.shape;
  for (let group = 0; group < groups; group++)
    runtime.kernels.gate(address + group * rows * dim * 4, x.address + group * dim * 4, rows, dim);
  return gates;
}

/** [a, b, …] → [b, a, …] */
export function swapAxes<D extends DType>(input: Tensor<D>): Tensor<D> {
  const { runtime, dtype, size } = input;
  const [a, b, ...rest] = input.shape;
  const output = runtime.empty([b, a, ...rest], dtype);
  const bytes = (size / Math.max(a * b, 1)) * bytesPerElement[dtype];
  runtime.kernels.swap(output.address, input.address, a, b, bytes);
  return output;
}
