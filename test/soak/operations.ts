import { alphaFoldOperations } from './alphaFold.ts';
import { attentionOperations } from './attention.ts';
import { cacheOperations } from './cache.ts';
import { denseOperations } from './dense.ts';
import { layerOperations } from './layers.ts';
import { linearOperations } from './linearAttention.ts';
import { maskOperations } from './masks.ts';
import { onnxOperations } from './onnx.ts';
import { positionOperations } from './positions.ts';
import { tensorOperations } from './tensors.ts';
import type { Operation } from './trial.ts';

/** The functions that a program can call on tensors, each with right arguments at random. */
export const operations: Readonly<Record<string, Operation>> = {
  ...attentionOperations,
  ...maskOperations,
  ...cacheOperations,
  ...linearOperations,
  ...positionOperations,
  ...denseOperations,
  ...layerOperations,
  ...alphaFoldOperations,
  ...onnxOperations,
  ...tensorOperations,
};
