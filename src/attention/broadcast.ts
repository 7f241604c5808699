import { wrongValue } from '../check.ts';
import type { MaskContext } from './masks/visibility.ts';

export function sizesOf({ batch, heads, queries, keys }: MaskContext): readonly number[] {
  return [batch, heads, queries, keys];
}

/** Element strides of `shape` read as [batch, heads, queries, keys]: aligned at the last axis, a size of 1 repeats. */
export function broadcastStrides(
  where: string,
  name: string,
  shape: readonly number[],
  sizes: readonly number[],
): [number, number, number, number] {
  const strides = sizes.map(() => 0);
  let stride = 1;
  for (let axis = 1; axis <= shape.length; axis++) {
    const size = shape.at(-axis)!;
    if (axis > 4 || (size !== 1 && size !== sizes[4 - axis])) {
      throw wrongValue(where, name, `has shape [${shape}], which does not broadcast to [${sizes}]`);
    }
    strides[4 - axis] = size === 1 ? 0 : stride;
    stride *= size;
  }
  return strides as [number, number, number, number];
}
