// The same on every platform; `createRuntime` is added by src/platforms.
export { type AsyncAttentionOptions, scaledDotProductAttentionAsync } from './attention/async.ts';
export { KVCache } from './attention/cache.ts';
export type { AppendOptions, KVCacheOptions } from './attention/cacheOptions.ts';
export type { CacheDType } from './attention/cacheRows.ts';
export { favorFeatures, retentionDecay } from './attention/featureMaps.ts';
export { linearAttention, linearAttentionState } from './attention/linearAttention.ts';
export type { LinearAttentionOptions } from './attention/linearOptions.ts';
export { AttentionMask, type MaskContext, masks } from './attention/mask.ts';
export { type BigBirdOptions, bigBirdRandomBlocks } from './attention/masks/bigBird.ts';
export type { BlockMatrix, BlockSparseOptions } from './attention/masks/blockSparse.ts';
export type { Predicate } from './attention/masks/definitions.ts';
export type { DrawOptions } from './attention/masks/draw.ts';
export type { LongformerOptions } from './attention/masks/longformer.ts';
export type { BlockTable } from './attention/masks/randomBlocks.ts';
export type { MaskReport, MaskSizes } from './attention/masks/report.ts';
export { everyScore, type PairMod, type ScoreTile, type TileMod } from './attention/modify.ts';
export type { AttentionOptions, Layout } from './attention/options.ts';
export { attentionState, scaledDotProductAttention } from './attention/scaledDotProduct.ts';
export { type AttentionState, mergeStates } from './attention/state.ts';
export { attentionWeights, type WeightsStage } from './attention/weights.ts';
export type { DType } from './check.ts';
export { CrossAttention, type CrossAttentionOptions } from './layers/crossAttention.ts';
export { DifferentialAttention, type DifferentialAttentionOptions } from './layers/differential.ts';
export { GatedAttention, type GatedAttentionOptions, type GatedForwardOptions } from './layers/gated.ts';
export { MultiHeadLatentAttention } from './layers/latent.ts';
export type {
  LatentAttendOptions,
  LatentAttentionOptions,
  LatentCacheOptions,
  LatentForwardOptions,
} from './layers/latentOptions.ts';
export type { Layer, LoadOptions, Shapes, StateDict, StateEntry } from './layers/layer.ts';
export { linear } from './layers/linear.ts';
export {
  LongformerAttention,
  type LongformerAttentionOptions,
  type LongformerForwardOptions,
} from './layers/longformer.ts';
export {
  type MSAAttentionOptions,
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
} from './layers/msa.ts';
export { MultiHeadAttention, type MultiHeadForwardOptions, type MultiHeadOptions } from './layers/multiHead.ts';
export { groupNorm, layerNorm, rmsNorm } from './layers/norm.ts';
export { PatchEmbedding, type PatchEmbeddingOptions } from './layers/patchEmbedding.ts';
export { TriangleAttention, type TriangleAttentionOptions } from './layers/triangle.ts';
export { alibiSlopes } from './position/alibi.ts';
export { addPositions, type LearnedPositionOptions } from './position/learned.ts';
export { type MixedRotaryApplyOptions, MixedRotaryEmbedding, type MixedRotaryOptions } from './position/mixedRope.ts';
export { type RelativeBiasOptions, relativePositionBias } from './position/relative.ts';
export { type ResizePositionsOptions, resizePositions } from './position/resize.ts';
export { type RotaryApplyOptions, RotaryEmbedding, type RotaryEmbeddingOptions } from './position/rope.ts';
export { applyRotaryTables, type RotaryTableOptions, type RotaryTables } from './position/rotaryTables.ts';
export { sinusoidalEncoding } from './position/sinusoidal.ts';
export type { Cosformer, FavorFeatures, FavorOptions, FeatureMap } from './reference/featureMaps.ts';
export type { UpdateRule } from './reference/linearAttention.ts';
export type { XPosOptions } from './reference/rope.ts';
export type { RotaryAxes, RotaryScaling } from './reference/rotaryFrequencies.ts';
export type { Build } from './runtime/builds.ts';
export type { RuntimeOptions } from './runtime/create.ts';
export type { ModuleSource } from './runtime/load.ts';
export type { Runtime } from './runtime/runtime.ts';
export type { WebWorker } from './runtime/worker.ts';
export { readSafetensors, type SafeTensor } from './safetensors.ts';
export { Tensor, type TensorData } from './tensor.ts';
