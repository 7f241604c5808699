/**
 * Ready-made masks. Arguments of a wrong kind or value are refused as a mask is made (TypeError, RangeError), sizes that it does not fit by
 * the call that uses it.
 * @module
 */

export { bigBird } from './bigBird.ts';
export { blockSparse } from './blockSparse.ts';
export { fromPredicate, keyLengths, tensor } from './given.ts';
export { longformer } from './longformer.ts';
export { causal, chunked, dilated, documents, prefixLM, slidingWindow } from './positions.ts';
