export { Attention, type AttentionAttributes, type AttentionInputs } from './attention.ts';
export { FlexAttention, type FlexAttentionAttributes, type FlexAttentionInputs } from './flexAttention.ts';
export type { OnnxGraph, OnnxInitializer, OnnxNode } from './graph.ts';
export { RotaryEmbedding } from './rotary.ts';
export type { OnnxDType, OnnxTensor } from './tensor.ts';
