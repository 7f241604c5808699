export { flash, flashScratchBytes, tileMax, exponentiate, raise } from './flash';
export { accumulate, accumulateVisible } from './micro/accumulate';
export { dots } from './micro/dots';
export { pack, unpack } from './micro/lanes';
export { adjust } from './micro/adjust';
export { scores, scoresScratchBytes } from './scores';
export { softmax } from './softmax';
export { linear, linearScratchBytes } from './linear';
export { angles, rope } from './position';
export { merge } from './merge';

/** The first byte that the allocator may use. */
export const heapBase: usize = __heap_base;
