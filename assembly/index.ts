export { heapBase, scratchBytes, run, finish, abandon, poolWorker } from './pool';
export { tileMax, exponentiate, raise } from './flash';
export { accumulate, accumulateVisible } from './micro/accumulate';
export { dots } from './micro/dots';
export { pack, unpack } from './micro/lanes';
export { adjust } from './micro/adjust';
export { softmax } from './softmax';
export { angles, rope } from './position';
export { merge } from './merge';
