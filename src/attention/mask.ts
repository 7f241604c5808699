import { bigBird } from './masks/bigBird.ts';
import { blockSparse } from './masks/blockSparse.ts';
import { fromPredicate, keyLengths, tensor } from './masks/given.ts';
import { longformer } from './masks/longformer.ts';
import { causal, chunked, dilated, documents, prefixLM, slidingWindow } from './masks/positions.ts';

export { AttentionMask } from './masks/attentionMask.ts';
export type { MaskContext } from './masks/visibility.ts';

/** Ready-made masks. */
export const masks = {
  causal,
  slidingWindow,
  dilated,
  chunked,
  prefixLM,
  documents,
  longformer,
  bigBird,
  blockSparse,
  keyLengths,
  tensor,
  fromPredicate,
};
