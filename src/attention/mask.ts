export { AttentionMask, type MaskContext } from './masks/attentionMask.ts';
export * as masks from './masks/index.ts';
