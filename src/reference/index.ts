/**
 * The same mathematics as the kernels, in float64 and plain TypeScript, on arrays: to test against, and to read.
 * @module wasm-attention/reference
 */

export * from './alibi.ts';
export * from './alphaFold.ts';
export * from './array.ts';
export * from './attention.ts';
export * from './causalConv.ts';
export * from './crossAttention.ts';
export * from './differential.ts';
export * from './featureMaps.ts';
export * from './gated.ts';
export * from './half.ts';
export * from './kvCache.ts';
export * from './latent.ts';
export * from './linear.ts';
export * from './linearAttention.ts';
export * from './longformer.ts';
export * from './masks.ts';
export * from './mixedRope.ts';
export * from './multiHead.ts';
export * from './norm.ts';
export * from './patchEmbedding.ts';
export * from './relative.ts';
export * from './resize.ts';
export * from './rope.ts';
export * from './rotaryFrequencies.ts';
export * from './sinusoidal.ts';
export * from './softmax.ts';
export * from './state.ts';
