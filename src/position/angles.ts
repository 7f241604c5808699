import { Table } from '../../assembly/params.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';

export type AngleTable = { sin: number; cos: number; rowStride: number; columnStride: number; scale?: number };

/**
 * Writes sin and cos of position · frequency to tables of these strides (in elements), each times `scale`.
 * @param positions [axes · rows], one axis after the other
 * @param axes how many there are, and the one of each column; default one for all
 */
export function writeAngles(
  runtime: Runtime,
  table: AngleTable,
  positions: ArrayLike<number>,
  frequencies: ArrayLike<number>,
  axes: { count: number; of: ArrayLike<number> } = { count: 1, of: new Int32Array(frequencies.length) },
): void {
  const columns = frequencies.length;
  const sizes = [Table.words * 4, positions.length * 8, columns * 8, columns * 4];
  runtime.withScratch(sizes, (params, positionsAt, frequenciesAt, axesAt) => {
    new Float64Array(runtime.buffer, positionsAt, positions.length).set(positions);
    new Float64Array(runtime.buffer, frequenciesAt, columns).set(frequencies);
    new Int32Array(runtime.buffer, axesAt, columns).set(axes.of);
    const { sin, cos, rowStride, columnStride, scale = 1 } = table;
    const sources = [sin, cos, positionsAt, frequenciesAt, axesAt];
    const words = [...sources, positions.length / axes.count, columns, rowStride, columnStride];
    new Int32Array(runtime.buffer, params, Table.words).set(words);
    new Float32Array(runtime.buffer, params, Table.words)[Table.scale] = scale;
    whole(runtime).kernels.angles(params);
  });
}
