/**
 * Operators of ONNX under ONNX's names, with its inputs, attributes and outputs.
 * @module wasm-attention/onnx
 */

export { Attention, type AttentionAttributes, type AttentionInputs } from './attention.ts';
export { CausalConvWithState } from './causalConv.ts';
export { FlexAttention, type FlexAttentionAttributes, type FlexAttentionInputs } from './flexAttention.ts';
export type { OnnxGraph, OnnxInitializer, OnnxNode } from './graph.ts';
export { LinearAttention, type LinearAttentionAttributes, type LinearAttentionInputs } from './linearAttention.ts';
export { RotaryEmbedding } from './rotary.ts';
export type { OnnxDType, OnnxTensor } from './tensor.ts';
