export { bigBird } from './bigBird.ts';
export { blockSparse } from './blockSparse.ts';
export { fromPredicate, keyLengths, tensor } from './given.ts';
export { longformer } from './longformer.ts';
export { causal, chunked, dilated, documents, prefixLM, slidingWindow } from './positions.ts';
