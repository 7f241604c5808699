import { type LinearAttentionOptions, linearAttentionState } from '../index.ts';
