// All kernels.
export * from './attention';
export { accumulateBytes, accumulateBytesOne, dotsBytes, dotsBytesOne, quantizeOne, quantizeWeights } from './micro/bytes';
export { widenRows } from './micro/widen';
export { absorb, correct, read, step, stepGated } from './micro/step';
export { softmax } from './softmax';
export { angles, cos, exp, log, rope, sin } from './position';
export { copyRows, gate, normalize } from './elementwise';
