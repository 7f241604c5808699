import { Table } from '../../assembly/params.ts';
import type { Runtime } from '../runtime/runtime.ts';

/** Writes sin and cos of position · frequency to tables of these strides (in elements), each times `scale`. */
export function writeAngles(
  runtime: Runtime,
  table: { sin: number; cos: number; rowStride: number; columnStride: number; scale?: number },
  positions: ArrayLike<number>,
  frequencies: ArrayLike<number>,
): void {
  const sizes = [Table.words * 4, positions.length * 8, frequencies.length * 8];
  runtime.withScratch(sizes, (params, positionsAt, frequenciesAt) => {
    new Float64Array(runtime.buffer, positionsAt, positions.length).set(positions);
    new Float64Array(runtime.buffer, frequenciesAt, frequencies.length).set(frequencies);
    const { sin, cos, rowStride, columnStride, scale = 1 } = table;
    const words = [sin, cos, positionsAt, frequenciesAt, positions.length, frequencies.length, rowStride, columnStride];
    new Int32Array(runtime.buffer, params, Table.words).set(words);
    new Float32Array(runtime.buffer, params, Table.words)[Table.scale] = scale;
    runtime.kernels.angles(params);
  });
}
