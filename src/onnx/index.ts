export { Attention, type AttentionAttributes, type AttentionInputs } from './attention.ts';
export { CausalConvWithState } from './causalConv.ts';
export { LinearAttention, type LinearAttentionAttributes, type LinearAttentionInputs } from './linearAttention.ts';
export { RotaryEmbedding } from './rotary.ts';
export type { OnnxDType, OnnxTensor } from './tensor.ts';
