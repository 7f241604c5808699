// All kernels.
export * from './attention';
export { absorb, correct, read, step, stepGated } from './micro/step';
export { softmax } from './softmax';
export { angles, cos, exp, log, rope, sin } from './position';
export { copyRows, gate, normalize } from './elementwise';
