import { bigBird } from './masks/bigBird.ts';
import { blockSparse } from './masks/blockSparse.ts';
import { fromPredicate, keyLengths, tensor } from './masks/given.ts';
import type * as all from './masks/index.ts';
import { longformer } from './masks/longformer.ts';
import { causal, chunked, dilated, documents, prefixLM, slidingWindow } from './masks/positions.ts';

export { AttentionMask } from './masks/attentionMask.ts';
export type { MaskContext } from './masks/visibility.ts';

// An object, and not the namespace itself: that is a statement to bundlers, which they keep in apps without masks.
/**
 * Ready-made masks. Arguments of a wrong kind or value are refused as a mask is made (TypeError, RangeError), sizes that it does not fit by
 * the call that uses it.
 * @namespace
 */
export const masks: typeof all = {
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
