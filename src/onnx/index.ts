export { Attention, type AttentionAttributes, type AttentionInputs } from './attention.ts';
export { RotaryEmbedding } from './rotary.ts';
export type { OnnxDType, OnnxTensor } from './tensor.ts';
