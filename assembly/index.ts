export { flash, flashScratchBytes } from './flash';
export { accumulate, accumulateTall, accumulateVisible } from './micro/accumulate';
export { dots, dotsTall } from './micro/dots';
export { accumulateFew, accumulateOne, dotsFew, dotsOne } from './micro/few';
export { pack, unpack } from './micro/lanes';
export { exponentiate, raise } from './micro/online';
export { adjust } from './micro/adjust';
export { scores, scoresScratchBytes } from './scores';
export { softmax } from './softmax';
export { linear, linearScratchBytes } from './linear';
export { angles, rope } from './position';
export { merge } from './merge';

/** The first byte that the allocator may use. */
export const heapBase: usize = __heap_base;
