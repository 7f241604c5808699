import { bytesPerElement, type DType } from '../check.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';

// Steps between kernels, inside of layers, whose tensors are checked.

/** `x·σ(gate)`, written to the gates: x [groups, dim] or of the gates' size, gates [groups, rows, dim]. */
export function gateInto(gates: Tensor, x: Tensor): Tensor {
  const { runtime, address, size } = gates;
  const { kernels } = whole(runtime);
  if (x.size === size) {
    kernels.gate(address, x.address, 1, size);
    return gates;
  }
  const [groups, rows, dim] = gates.shape;
  for (let group = 0; group < groups; group++)
    kernels.gate(address + group * rows * dim * 4, x.address + group * dim * 4, rows, dim);
  return gates;
}

/** [a, b, …] → [b, a, …] */
export function swapAxes<D extends DType>(input: Tensor<D>): Tensor<D> {
  const { runtime, dtype, size } = input;
  const { kernels } = whole(runtime);
  const [a, b, ...rest] = input.shape;
  const output = runtime.empty([b, a, ...rest], dtype);
  const cell = (size / Math.max(a * b, 1)) * bytesPerElement[dtype];
  for (let i = 0; i < a; i++)
    kernels.copyRows(output.address + i * cell, input.address + i * b * cell, b, cell, a * cell, cell);
  return output;
}

/** Rows of a tensor whose last axis has `dim` elements, from element `offset` of each on. */
export type Columns = { tensor: Tensor; dim: number; offset: number };

/** Copies tensors to columns side by side. */
export function putColumns(to: Columns, ...parts: readonly Tensor[]): void {
  let { offset } = to;
  for (const tensor of parts) {
    const dim = tensor.shape[tensor.shape.length - 1];
    copyColumns({ ...to, offset }, { tensor, dim, offset: 0 }, dim);
    offset += dim;
  }
}

/** Copies `count` elements of each row. */
export function copyColumns(to: Columns, from: Columns, count: number): void {
  const start = ({ tensor, offset }: Columns) => tensor.address + offset * 4;
  const rows = from.tensor.size / from.dim;
  whole(to.tensor.runtime).kernels.copyRows(start(to), start(from), rows, count * 4, to.dim * 4, from.dim * 4);
}
