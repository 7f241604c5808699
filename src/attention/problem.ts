import {
  checkFinite,
  checkFloat32,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSameShape,
  checkTensor,
  LARGEST_DIM,
  text,
  wrongKind,
  wrongValue,
} from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Tensor } from '../tensor.ts';
import { broadcastStrides, sizesOf } from './broadcast.ts';
import type { KVCache } from './cache.ts';
import { KeyValueStore, type KeyValues, keyValuesOf, sizesIn } from './keyValues.ts';
import { checkKeyLengths } from './masks/definitions.ts';
import { type MaskContext, Visibility } from './masks/visibility.ts';
import { wholeMask } from './masks/whole.ts';
import type { TileMod } from './modify.ts';
import { type AttentionOptions, attentionOptions, type Layout, overlap } from './options.ts';

/** A checked call. */
export type Problem = MaskContext & {
  where: string;
  runtime: Runtime;
  layout: Layout;
  query: Tensor;
  source: KeyValues;
  headDim: number;
  valueDim: number;
  scale: number;
  softcap: number;
  mask: Visibility | undefined;
  biases: Tensor[];
  alibiSlopes: ArrayLike<number> | undefined;
  sink: ArrayLike<number> | undefined;
  scoreMod: TileMod | undefined;
  probMod: TileMod | undefined;
};

/** Kernels count positions in int32. */
const LARGEST_OFFSET = 2 ** 30;

/** Beyond it, c or 1/c is no normal float32 number. */
const LEAST_SOFTCAP = 1e-30;

/** Whether the caller's functions change scores or weights. */
export function isModified({ scoreMod, probMod }: Problem): boolean {
  return scoreMod !== undefined || probMod !== undefined;
}

export function outputShape({ batch, heads, queries, valueDim, layout }: Problem): number[] {
  return layout === 'bhsd' ? [batch, heads, queries, valueDim] : [batch, queries, heads, valueDim];
}

/**
 * Checks a call and fills in its defaults; nothing is written.
 * @param value absent where only scores are asked for, or where `key` is a cache
 */
export function problem(
  where: string,
  query: Tensor,
  key: Tensor | KVCache,
  value: Tensor | undefined,
  options: AttentionOptions = {},
): Problem {
  if (!(query instanceof Tensor)) throw wrongKind(where, 'query', 'a Tensor', query);
  checkOptions(where, options, attentionOptions);
  const { runtime } = query;
  const { layout = 'bhsd', causalAlignment = 'bottom-right' } = options;
  checkOneOf(where, 'layout', layout, layouts);
  checkOneOf(where, 'causalAlignment', causalAlignment, alignments);
  checkTensor(where, 'query', query, runtime, rank4);
  const cached = key instanceof KeyValueStore;
  const { batch, heads, length: queries, dim: headDim } = sizesIn(layout, query.shape);
  const source = cached ? key.keyValues(where, runtime) : keyValuesOf(where, runtime, layout, batch, key, value);
  checkQuery(where, { batch, heads, headDim }, source, cached ? 'cache' : 'key');
  const { valueDim = source.valueDim } = options;
  if (options.valueDim !== undefined) checkValueDim(where, valueDim, source);
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  checkFinite(where, 'scale', scale);
  const { softcap, mask, bias, output } = options;
  for (const name of mods) {
    if (options[name] !== undefined && typeof options[name] !== 'function')
      throw wrongKind(where, name, 'a function', options[name]);
  }
  if (softcap !== undefined) {
    checkFinite(where, 'softcap', softcap);
    if (softcap < LEAST_SOFTCAP || softcap > 1 / LEAST_SOFTCAP)
      throw wrongValue(where, 'softcap', `is ${softcap}, not from ${LEAST_SOFTCAP} to ${1 / LEAST_SOFTCAP}`);
  }
  checkPerHead(where, 'alibiSlopes', options.alibiSlopes, heads);
  checkPerHead(where, 'sink', options.sink, heads);
  if (options.keyLengths !== undefined) {
    if (cached) throw wrongValue(where, 'keyLengths', 'cannot be given with a cache, which has lengths of its own');
    checkKeyLengths(where, options.keyLengths, batch, source.keys);
  }
  const keyLengths = source.lengths ?? options.keyLengths;
  const queryOffset = offsetOf(where, options, keyLengths, batch, queries, source.keys);
  if (mask instanceof Tensor) checkTensor(where, 'mask', mask, runtime, { dtypes: ['boolean', 'float32'] });
  else if (mask !== undefined && !(mask instanceof Visibility))
    throw wrongKind(where, 'mask', 'an AttentionMask or a Tensor', mask);
  const result: Problem = {
    where,
    runtime,
    layout,
    query,
    source,
    batch,
    heads,
    queries,
    keys: source.keys,
    headDim,
    valueDim,
    queryOffset,
    scale,
    softcap: softcap ?? 0,
    mask: wholeMask(where, options, keyLengths),
    biases: noBiases,
    alibiSlopes: options.alibiSlopes,
    sink: options.sink,
    scoreMod: options.scoreMod,
    probMod: options.probMod,
  };
  const added = mask instanceof Tensor && mask.dtype === 'float32' ? (mask as Tensor) : undefined;
  if (added || bias !== undefined) result.biases = checkBiases(result, added, bias);
  result.mask?.check(where, result);
  if (output !== undefined) {
    checkTensor(where, 'output', output, runtime);
    checkSameShape(where, 'output', output.shape, outputShape(result));
    const overlaps = (input: Tensor | undefined) => input !== undefined && overlap(input, output);
    if (overlaps(query) || (!cached && overlaps(key)) || overlaps(value) || result.biases.some(overlaps))
      throw wrongValue(where, 'output', 'overlaps an input');
  }
  return result;
}

/** Sizes of query, key and value in two or three tensors, checked against each other. */
export function checkSizes(where: string, layout: Layout, query: Tensor, key: Tensor, value: Tensor | undefined) {
  const { batch, heads, length: queries, dim: headDim } = sizesIn(layout, query.shape);
  const source = keyValuesOf(where, query.runtime, layout, batch, key, value);
  checkQuery(where, { batch, heads, headDim }, source, 'key');
  const { kvHeads, keys, valueDim } = source;
  return { batch, heads, kvHeads, queries, keys, headDim, valueDim };
}

const layouts = ['bhsd', 'bshd'];
const alignments = ['bottom-right', 'top-left'];
const mods = ['maskMod', 'scoreMod', 'probMod'] as const;
const rank4 = { rank: 4 };
const noBiases: Tensor[] = [];

function checkQuery(
  where: string,
  query: { batch: number; heads: number; headDim: number },
  source: KeyValues,
  name: string,
): void {
  const differ = (has: string, other: string) => wrongValue(where, name, `has ${has}, but ${other}`);
  if (query.headDim < 1) throw wrongValue(where, 'query', 'has headDim 0, but at least 1 is needed');
  if (query.headDim > LARGEST_DIM)
    throw wrongValue(where, 'query', `has headDim ${query.headDim}, but at most ${LARGEST_DIM} is possible`);
  if (source.headDim !== query.headDim)
    throw differ(`headDim ${source.headDim}`, `"query" has headDim ${query.headDim}`);
  // A cache: of tensors it is checked with the others.
  if (source.batch !== query.batch) throw differ(`batch ${source.batch}`, `"query" has batch ${query.batch}`);
  if (source.kvHeads < 1 || query.heads < 1 || query.heads % source.kvHeads !== 0) {
    throw wrongValue(where, 'query', `has ${query.heads} heads, which is not a multiple of kvHeads ${source.kvHeads}`);
  }
}

function checkValueDim(where: string, valueDim: number, source: KeyValues): void {
  checkInteger(where, 'valueDim', valueDim, 1);
  if (valueDim > source.valueDim)
    throw wrongValue(where, 'valueDim', `is ${valueDim}, but a value has ${source.valueDim} columns`);
}

function checkBiases(context: Problem, added: Tensor | undefined, bias: Tensor | undefined): Tensor[] {
  const { where, runtime } = context;
  const found: Tensor[] = [];
  for (const [name, tensor] of Object.entries({ mask: added, bias })) {
    if (tensor === undefined) continue;
    checkTensor(where, name, tensor, runtime);
    broadcastStrides(where, name, tensor.shape, sizesOf(context));
    found.push(tensor);
  }
  return found;
}

function checkPerHead(where: string, name: string, values: ArrayLike<number> | undefined, heads: number): void {
  if (values === undefined) return;
  if (values?.length !== heads) throw wrongValue(where, name, `must be one number per query head (${heads})`);
  for (let h = 0; h < heads; h++) checkFloat32(where, `${name}[${h}]`, values[h]);
}

/** Position of query 0 in each batch. */
function offsetOf(
  where: string,
  { queryOffset: given, causalAlignment }: AttentionOptions,
  keyLengths: ArrayLike<number> | undefined,
  batch: number,
  queries: number,
  keys: number,
): (batch: number) => number {
  if (given === undefined) {
    if (causalAlignment === 'top-left') return () => 0;
    return keyLengths ? (b) => keyLengths[b] - queries : () => keys - queries;
  }
  if (typeof given === 'number') {
    checkOffset(where, 'queryOffset', given);
    return () => given;
  }
  if (given?.length !== batch) throw wrongValue(where, 'queryOffset', `must be a number or one per batch (${batch})`);
  for (let b = 0; b < batch; b++) checkOffset(where, `queryOffset[${b}]`, given[b]);
  return (b) => given[b];
}

function checkOffset(where: string, name: string, value: number): void {
  if (!Number.isInteger(value) || Math.abs(value) > LARGEST_OFFSET)
    throw wrongValue(where, name, `is ${text(value)}, not an integer from −2³⁰ to 2³⁰`);
}
