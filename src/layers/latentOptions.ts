import { KVCache } from '../attention/cache.ts';
import type { KVCacheOptions } from '../attention/cacheOptions.ts';
import { text, wrongKind, wrongValue } from '../check.ts';
import type { RotaryEmbeddingOptions } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { linearShapes, type Shapes } from './layer.ts';

/** Sizes of a `MultiHeadLatentAttention`, and what Hugging Face's configuration calls them. */
export type LatentAttentionOptions = {
  /** `hidden_size`: size of an input and an output vector. */
  hiddenDim: number;
  /** `num_attention_heads` */
  heads: number;
  /** `q_lora_rank`; without it there is one projection, `q_proj`. */
  queryRank?: number;
  /** `kv_lora_rank`: size of the latent that keys and values are made of. */
  latentDim: number;
  /** `qk_nope_head_dim`: size of the part of a key that has no position. */
  nopeDim: number;
  /** `qk_rope_head_dim`: size of the part that is turned, even, the same for all heads. */
  ropeDim: number;
  /** `v_head_dim` */
  valueDim: number;
  /** Of the rotary embedding; style `'interleaved'` by default, as DeepSeek's weights need. */
  rope?: Pick<RotaryEmbeddingOptions, 'base' | 'style' | 'scaling'>;
  /** Default `1/√(nopeDim + ropeDim)`, with a YaRN `mscaleAllDim` times `(0.1·mscaleAllDim·ln factor + 1)²`. */
  scale?: number;
  /** `attention_bias`: whether q_a_proj, kv_a_proj_with_mqa and o_proj have biases; default false. */
  bias?: boolean;
  /** Of the RMS norms; default 1e-6. */
  epsilon?: number;
};

/** Which latents a query of `MultiHeadLatentAttention.attend` sees. */
export type LatentAttendOptions = {
  /** Position of the first query among the keys, a number or one per batch; default `keyLengths[b]` (else keys) − queries. */
  offset?: number | ArrayLike<number>;
  /** Whether a query sees no later key; default true. */
  causal?: boolean;
  /** Per batch: how many latents, from the first, are visible. */
  keyLengths?: ArrayLike<number>;
};

/** What `MultiHeadLatentAttention.forward` is told beside its input. */
export type LatentForwardOptions = {
  /** Whether a token sees no later one; default true. */
  causal?: boolean;
  /** Per batch: how many of the tokens, from the first, are real: visible and, with `cache`, kept. */
  keyLengths?: ArrayLike<number>;
  /** The latents of the tokens before, to which those of the input are appended. */
  cache?: KVCache;
};

/** Those of `KVCacheOptions` that the layer's sizes leave open: the cache has one head of `latentDim + ropeDim`, whose first columns are the values. */
export type LatentCacheOptions = Pick<
  KVCacheOptions,
  'batch' | 'maxLength' | 'window' | 'sinks' | 'dtype' | 'pageSize' | 'pages'
>;

export const cacheOptions: ReadonlySet<string> = new Set<keyof LatentCacheOptions>([
  'batch',
  'maxLength',
  'window',
  'sinks',
  'dtype',
  'pageSize',
  'pages',
]);

export function cacheShape({ latentDim, ropeDim }: LatentAttentionOptions) {
  return { kvHeads: 1, headDim: latentDim + ropeDim, valueDim: latentDim, sharedValues: true };
}

export function checkCache(
  where: string,
  runtime: Runtime,
  cache: KVCache,
  needed: ReturnType<typeof cacheShape> & { batch: number },
): void {
  if (!(cache instanceof KVCache)) throw wrongKind(where, 'cache', 'a KVCache', cache);
  cache.keyValues(where, runtime);
  for (const name of Object.keys(needed) as (keyof typeof needed)[])
    if (cache[name] !== needed[name])
      throw wrongValue(where, 'cache', `has ${name} ${cache[name]}, but ${needed[name]} is needed`);
}

/** [batch · length] */
export function positionsOf(
  where: string,
  offset: number | ArrayLike<number>,
  batch: number,
  length: number,
): number[] {
  const offsets = typeof offset === 'number' ? Array<number>(batch).fill(offset) : Array.from(offset ?? []);
  if (offsets.length !== batch || !offsets.every(Number.isSafeInteger))
    throw wrongValue(where, 'offset', `must be an integer or one per batch (${batch}), but it is ${text(offset)}`);
  return offsets.flatMap((first) => Array.from({ length }, (_, i) => first + i));
}

export function defaultScale({ nopeDim, ropeDim, rope }: LatentAttentionOptions, math: Pick<Math, 'log'>): number {
  const scaling = rope?.scaling;
  const stretched = scaling?.type === 'yarn' && scaling.factor > 1 && scaling.mscaleAllDim;
  const mscale = stretched ? 0.1 * stretched * math.log(scaling.factor) + 1 : 1;
  return mscale ** 2 / Math.sqrt(nopeDim + ropeDim);
}

export function latentShapes(options: LatentAttentionOptions): Shapes {
  const { hiddenDim, heads, queryRank, latentDim, nopeDim, ropeDim, valueDim, bias = false } = options;
  const queries = heads * (nopeDim + ropeDim);
  return {
    ...(queryRank === undefined
      ? linearShapes('q_proj', hiddenDim, queries, false)
      : {
          ...linearShapes('q_a_proj', hiddenDim, queryRank, bias),
          'q_a_layernorm.weight': [queryRank],
          ...linearShapes('q_b_proj', queryRank, queries, false),
        }),
    ...linearShapes('kv_a_proj_with_mqa', hiddenDim, latentDim + ropeDim, bias),
    'kv_a_layernorm.weight': [latentDim],
    ...linearShapes('kv_b_proj', latentDim, heads * (nopeDim + valueDim), false),
    ...linearShapes('o_proj', heads * valueDim, hiddenDim, bias),
  };
}
