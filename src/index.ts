export { KVCache } from './attention/cache.ts';
export type { AppendOptions, KVCacheOptions } from './attention/cacheOptions.ts';
export type { CacheDType } from './attention/cacheRows.ts';
export { AttentionMask, type MaskContext, masks } from './attention/mask.ts';
export type { AttentionOptions, Layout } from './attention/options.ts';
export { attentionState, scaledDotProductAttention } from './attention/scaledDotProduct.ts';
export { type AttentionState, mergeStates } from './attention/state.ts';
export { attentionWeights, type WeightsStage } from './attention/weights.ts';
export type { DType } from './check.ts';
export { linear } from './layers/linear.ts';
export { MultiHeadAttention, type MultiHeadForwardOptions, type MultiHeadOptions } from './layers/multiHead.ts';
export { alibiSlopes } from './position/alibi.ts';
export {
  applyRotaryTables,
  type RotaryApplyOptions,
  RotaryEmbedding,
  type RotaryEmbeddingOptions,
} from './position/rope.ts';
export { sinusoidalEncoding } from './position/sinusoidal.ts';
export type { RotaryScaling } from './reference/rope.ts';
export { createRuntime, createRuntimeSync, type RuntimeOptions } from './runtime/create.ts';
export type { Build, ModuleSource } from './runtime/load.ts';
export type { Runtime } from './runtime/runtime.ts';
export { Tensor, type TensorData } from './tensor.ts';
