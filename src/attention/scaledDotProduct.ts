import { wrongKind } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import type { KVCache } from './cache.ts';
import { KeyValueStore } from './keyValues.ts';
import { launch } from './launch.ts';
import type { AttentionOptions } from './options.ts';
import { outputShape, problem } from './problem.ts';
import type { AttentionState } from './state.ts';

/**
 * Exact attention, `softmax(scale·QKᵀ + …)·V`, in tiles with an online softmax: memory does not grow with queries × keys.
 *
 * `S = scale·QKᵀ` → softcap → bias, ALiBi → mask → softmax (a sink joins the denominator) → `P·V`. A masked key is
 * skipped, even if it is NaN; a row that sees no key is 0. Query head `h` reads KV head `⌊h / (heads/kvHeads)⌋`.
 *
 * Sources: Vaswani et al. 2017, eq. 1; Dao et al. 2022 (FlashAttention), Alg. 1.
 *
 * @param query float32 [batch, heads, queries, headDim], in the order of `options.layout`
 * @param key float32 [batch, kvHeads, keys, headDim]; heads is a multiple of kvHeads
 * @param value float32 [batch, kvHeads, keys, valueDim]
 * @returns [batch, heads, queries, valueDim] in the same order
 * @throws TypeError wrong kind or dtype; RangeError sizes that do not fit, numbers out of range, the memory limit;
 * Error a disposed tensor or one of another runtime. Nothing has been written then.
 * @example
 * const output = scaledDotProductAttention(query, key, value, { causal: true });
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options?: AttentionOptions,
): Tensor;
/** The same over the tokens of a `KVCache`, by default the last of them at the positions of the queries. */
export function scaledDotProductAttention(query: Tensor, cache: KVCache, options?: AttentionOptions): Tensor;
export function scaledDotProductAttention(query: Tensor, key: Tensor | KVCache, ...rest: Rest): Tensor {
  return attend('scaledDotProductAttention', query, key, rest, false).output;
}

/**
 * Attention with its log-sum-exp, from which states over disjoint sets of keys can be merged (`mergeStates`).
 *
 * @returns output as `scaledDotProductAttention`; lse float32 [batch, heads, queries], `ln Σ_j e^{S_j}`, sink included,
 * −Infinity for a row that sees no key
 * @throws as `scaledDotProductAttention`
 */
export function attentionState(query: Tensor, key: Tensor, value: Tensor, options?: AttentionOptions): AttentionState;
/** The same over the tokens of a `KVCache`. */
export function attentionState(query: Tensor, cache: KVCache, options?: AttentionOptions): AttentionState;
export function attentionState(query: Tensor, key: Tensor | KVCache, ...rest: Rest): AttentionState {
  const { output, lse } = attend('attentionState', query, key, rest, true);
  return { output, lse: lse! };
}

/** What follows `key`: value and options, or, where `key` is a cache, options alone. */
export type Rest<Options = AttentionOptions> = [(Tensor | Options)?, Options?];

export function splitRest<Options extends AttentionOptions>(where: string, key: Tensor | KVCache, rest: Rest<Options>) {
  const cached = key instanceof KeyValueStore;
  const [given, value] = cached ? [rest[0], undefined] : [rest[1], rest[0] as Tensor];
  if (!cached && value === undefined) throw wrongKind(where, 'value', 'a Tensor', value);
  return { value, options: (given === undefined ? {} : given) as Options };
}

function attend(where: string, query: Tensor, key: Tensor | KVCache, rest: Rest, withLse: boolean) {
  const { value, options } = splitRest(where, key, rest);
  const checked = problem(where, query, key, value, options);
  const { runtime, batch, heads, queries } = checked;
  return runtime.allOrNothing((make) => {
    const output = options.output ?? make(outputShape(checked));
    const lse = withLse ? make([batch, heads, queries]) : undefined;
    launch('flash', checked, output, lse);
    return { output, lse };
  });
}
