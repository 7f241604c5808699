import {
  checkFinite,
  checkFloat32,
  checkOneOf,
  checkOptions,
  checkSameShape,
  checkTensor,
  wrongKind,
  wrongValue,
} from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Tensor } from '../tensor.ts';
import { AttentionMask, broadcastStrides, checkKeyLengths, type MaskContext, masks } from './mask.ts';

export type Layout = 'bhsd' | 'bshd';

export type AttentionOptions = {
  /** Factor of QKᵀ. Default `1/√headDim`. */
  scale?: number;
  /** Key `j` is visible iff `j ≤ queryOffset + i`. Default false. */
  causal?: boolean;
  /** The default of `queryOffset`: `'bottom-right'` (default) keyLength − queries, `'top-left'` 0. */
  causalAlignment?: 'bottom-right' | 'top-left';
  /**
   * The position of query 0, a number or one per batch. Default: `keyLengths[b]` (else keys) − queries. For causal
   * self-attention over right-padded sequences with `keyLengths`, give `causalAlignment: 'top-left'`.
   */
  queryOffset?: number | ArrayLike<number>;
  /** [left, right]: key `j` is visible iff `p − left ≤ j ≤ p + right`, `p = queryOffset + i`. `Infinity` = unbounded. */
  window?: readonly [number, number];
  /** Per batch: how many keys, from the first, are visible. */
  keyLengths?: ArrayLike<number>;
  /** A mask, or a tensor broadcast to [batch, heads, queries, keys]: boolean, true = may attend; float32, added. */
  mask?: AttentionMask | Tensor<'boolean' | 'float32'>;
  /** float32, added to the scores, broadcast to [batch, heads, queries, keys]; −Infinity = not visible. */
  bias?: Tensor;
  /** `c` of `c·tanh(S/c)`, from 1e-30 to 1e30. Default none. */
  softcap?: number;
  /** [heads]: `−slope·|p − j|` is added. */
  alibiSlopes?: ArrayLike<number>;
  /** [heads]: a logit that joins the softmax's denominator, not scaled. */
  sink?: ArrayLike<number>;
  /** Axes of query, key, value and output: `'bhsd'` (default) [batch, heads, sequence, headDim] or `'bshd'`. */
  layout?: Layout;
  /** The tensor to write, in place of a new one. */
  output?: Tensor;
};

/** A task's scratch grows with the dimensions: 256 bytes each, which must stay far below what 32 bits address. */
const LARGEST_DIM = 65536;

/** Kernels count positions in int32. */
const LARGEST_OFFSET = 2 ** 30;

/** Beyond it, c or 1/c is no normal float32 number. */
const LEAST_SOFTCAP = 1e-30;

export const attentionOptions: ReadonlySet<string> = new Set<keyof AttentionOptions>([
  'scale',
  'causal',
  'causalAlignment',
  'queryOffset',
  'window',
  'keyLengths',
  'mask',
  'bias',
  'softcap',
  'alibiSlopes',
  'sink',
  'layout',
  'output',
]);

/** Strides of [batch, heads, sequence], in elements. */
export type Strides = readonly [number, number, number];

/** A checked call. */
export type Problem = MaskContext & {
  where: string;
  runtime: Runtime;
  kvHeads: number;
  headDim: number;
  valueDim: number;
  layout: Layout;
  query: Tensor;
  key: Tensor;
  value: Tensor | undefined;
  scale: number;
  softcap: number;
  mask: AttentionMask | undefined;
  biases: Tensor[];
  alibiSlopes: ArrayLike<number> | undefined;
  sink: ArrayLike<number> | undefined;
};

export function outputShape({ batch, heads, queries, valueDim, layout }: Problem): number[] {
  return layout === 'bhsd' ? [batch, heads, queries, valueDim] : [batch, queries, heads, valueDim];
}

export function stridesOf(shape: readonly number[], layout: Layout): Strides {
  const [, second, third, dim] = shape;
  return layout === 'bhsd' ? [second * third * dim, third * dim, dim] : [second * third * dim, dim, third * dim];
}

/** Checks a call and fills in its defaults; nothing is written. */
export function problem(
  where: string,
  query: Tensor,
  key: Tensor,
  value: Tensor | undefined,
  options: AttentionOptions = {},
): Problem {
  if (!(query instanceof Tensor)) throw wrongKind(where, 'query', 'a Tensor', query);
  checkOptions(where, options, attentionOptions);
  const { runtime } = query;
  checkTensor(where, 'query', query, runtime, { rank: 4 });
  checkTensor(where, 'key', key, runtime, { rank: 4 });
  if (value !== undefined) checkTensor(where, 'value', value, runtime, { rank: 4 });
  const { layout = 'bhsd', causalAlignment = 'bottom-right' } = options;
  checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
  checkOneOf(where, 'causalAlignment', causalAlignment, ['bottom-right', 'top-left']);
  const sizes = checkSizes(where, layout, query, key, value);
  const scale = options.scale ?? 1 / Math.sqrt(sizes.headDim);
  checkFinite(where, 'scale', scale);
  if (options.softcap !== undefined) {
    checkFinite(where, 'softcap', options.softcap);
    if (options.softcap < LEAST_SOFTCAP || options.softcap > 1 / LEAST_SOFTCAP)
      throw wrongValue(where, 'softcap', `is ${options.softcap}, not from ${LEAST_SOFTCAP} to ${1 / LEAST_SOFTCAP}`);
  }
  for (const name of ['alibiSlopes', 'sink'] as const) checkPerHead(where, name, options[name], sizes.heads);
  if (options.keyLengths !== undefined) checkKeyLengths(where, options.keyLengths, sizes.batch, sizes.keys);
  const context = { ...sizes, queryOffset: queryOffset(where, options, sizes) };

  const { mask, bias, output } = options;
  if (mask instanceof Tensor) checkTensor(where, 'mask', mask, runtime, { dtypes: ['boolean', 'float32'] });
  else if (mask !== undefined && !(mask instanceof AttentionMask)) {
    throw wrongKind(where, 'mask', 'an AttentionMask or a Tensor', mask);
  }
  const added = mask instanceof Tensor && mask.dtype === 'float32' ? (mask as Tensor) : undefined;
  for (const [name, tensor] of Object.entries({ mask: added, bias })) {
    if (tensor === undefined) continue;
    checkTensor(where, name, tensor, runtime);
    broadcastStrides(where, name, tensor.shape, [sizes.batch, sizes.heads, sizes.queries, sizes.keys]);
  }
  const whole = wholeMask(where, options);
  whole?.check(where, context);
  const result: Problem = {
    ...context,
    where,
    runtime,
    layout,
    query,
    key,
    value,
    scale,
    softcap: options.softcap ?? 0,
    mask: whole,
    biases: [added, bias].filter((tensor) => tensor !== undefined),
    alibiSlopes: options.alibiSlopes,
    sink: options.sink,
  };
  if (output !== undefined) {
    checkTensor(where, 'output', output, runtime);
    checkSameShape(where, 'output', output.shape, outputShape(result));
    const inputs = [query, key, value, ...result.biases];
    if (inputs.some((input) => input && overlap(input, output))) throw wrongValue(where, 'output', 'overlaps an input');
  }
  return result;
}

export function checkSizes(where: string, layout: Layout, query: Tensor, key: Tensor, value: Tensor | undefined) {
  const read = (tensor: Tensor) => {
    const [batch, second, third, dim] = tensor.shape;
    return layout === 'bhsd'
      ? { batch, heads: second, length: third, dim }
      : { batch, heads: third, length: second, dim };
  };
  const q = read(query);
  const k = read(key);
  const v = value ? read(value) : { ...k, dim: 0 };
  const differ = (name: string, has: string, other: string) => wrongValue(where, name, `has ${has}, but ${other}`);
  if (q.dim < 1) throw wrongValue(where, 'query', 'has headDim 0, but at least 1 is needed');
  if (q.dim > LARGEST_DIM)
    throw wrongValue(where, 'query', `has headDim ${q.dim}, but at most ${LARGEST_DIM} is possible`);
  if (v.dim > LARGEST_DIM)
    throw wrongValue(where, 'value', `has headDim ${v.dim}, but at most ${LARGEST_DIM} is possible`);
  if (k.dim !== q.dim) throw differ('key', `headDim ${k.dim}`, `"query" has headDim ${q.dim}`);
  if (k.batch !== q.batch) throw differ('key', `batch ${k.batch}`, `"query" has batch ${q.batch}`);
  if (v.batch !== q.batch) throw differ('value', `batch ${v.batch}`, `"query" has batch ${q.batch}`);
  if (v.heads !== k.heads) throw differ('value', `${v.heads} heads`, `"key" has ${k.heads}`);
  if (v.length !== k.length) throw differ('value', `length ${v.length}`, `"key" has length ${k.length}`);
  if (k.heads < 1 || q.heads < 1 || q.heads % k.heads !== 0) {
    throw wrongValue(where, 'query', `has ${q.heads} heads, which is not a multiple of kvHeads ${k.heads}`);
  }
  if (value && v.dim < 1) throw wrongValue(where, 'value', 'has headDim 0, but at least 1 is needed');
  return {
    batch: q.batch,
    heads: q.heads,
    kvHeads: k.heads,
    queries: q.length,
    keys: k.length,
    headDim: q.dim,
    valueDim: v.dim,
  };
}

function checkPerHead(where: string, name: string, values: ArrayLike<number> | undefined, heads: number): void {
  if (values === undefined) return;
  if (values?.length !== heads) throw wrongValue(where, name, `must be one number per query head (${heads})`);
  for (let h = 0; h < heads; h++) checkFloat32(where, `${name}[${h}]`, values[h]);
}

function queryOffset(
  where: string,
  { queryOffset: given, causalAlignment, keyLengths }: AttentionOptions,
  { batch, queries, keys }: { batch: number; queries: number; keys: number },
): (batch: number) => number {
  const check = (name: string, value: number) => {
    if (!Number.isInteger(value) || Math.abs(value) > LARGEST_OFFSET)
      throw wrongValue(where, name, `is ${value}, not an integer from −2³⁰ to 2³⁰`);
  };
  if (given === undefined) {
    if (causalAlignment === 'top-left') return () => 0;
    return (b) => (keyLengths ? keyLengths[b] : keys) - queries;
  }
  if (typeof given === 'number') {
    check('queryOffset', given);
    return () => given;
  }
  if (given?.length !== batch) throw wrongValue(where, 'queryOffset', `must be a number or one per batch (${batch})`);
  for (let b = 0; b < batch; b++) check(`queryOffset[${b}]`, given[b]);
  return (b) => given[b];
}

/** The conjunction of every option that hides keys; undefined if none does. */
function wholeMask(where: string, { causal, window, keyLengths, mask }: AttentionOptions): AttentionMask | undefined {
  const parts: AttentionMask[] = [];
  if (keyLengths !== undefined) parts.push(masks.keyLengths(keyLengths));
  if (window !== undefined) {
    if (!Array.isArray(window) || window.length !== 2) throw wrongKind(where, 'window', 'a pair [left, right]', window);
    parts.push(masks.slidingWindow(window[0], window[1]));
  }
  if (causal) parts.push(masks.causal());
  if (mask instanceof AttentionMask) parts.push(mask);
  else if (mask?.dtype === 'boolean') parts.push(masks.tensor(mask as Tensor<'boolean'>));
  return parts.length === 0 ? undefined : parts.reduce((whole, part) => whole.and(part));
}

export function overlap(a: Tensor, b: Tensor): boolean {
  return a.address < b.address + b.size * 4 && b.address < a.address + a.size * 4;
}
