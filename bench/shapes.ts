/** One attention problem: what models call it, its sizes, what is visible. Query `i` stands at `keys − queries + i`. */
export type Shape = {
  name: string;
  batch: number;
  heads: number;
  kvHeads: number;
  queries: number;
  keys: number;
  headDim: number;
  causal?: boolean;
  /** [left, right], inclusive. */
  window?: readonly [number, number];
  /** `decode` is bound by reading K and V, `short` by the call itself. */
  kind: 'prefill' | 'window' | 'decode' | 'short';
};

const one = { batch: 1, kind: 'prefill' } as const;
const square = (heads: number, length: number, headDim: number) => ({
  heads,
  kvHeads: heads,
  queries: length,
  keys: length,
  headDim,
});
const llama = { heads: 32, kvHeads: 8, headDim: 128 };

/** Shapes of one row are timed in the same rounds, so that ratios between them are ratios of one moment. */
export const suites: readonly (readonly Shape[])[] = [
  [{ name: 'BERT-large', ...one, ...square(16, 512, 64) }],
  [{ name: 'ViT-B/16', ...one, ...square(12, 197, 64) }],
  [{ name: 'prefill, grouped', ...one, ...llama, queries: 1024, keys: 1024, causal: true }],
  [{ name: 'diffusion self', ...one, ...square(8, 4096, 40) }],
  [{ name: 'diffusion cross', ...one, ...square(8, 4096, 40), keys: 77 }],
  [
    { name: 'full 4096', ...one, ...square(2, 4096, 64) },
    { name: 'causal 4096', ...one, ...square(2, 4096, 64), causal: true },
  ],
  [
    { name: 'long 16384', ...one, ...square(1, 16384, 64) },
    { name: 'window 1024', ...one, ...square(1, 16384, 64), kind: 'window', causal: true, window: [1023, 0] },
  ],
  [{ name: 'decode', ...one, ...llama, kind: 'decode', queries: 1, keys: 4096 }],
  [{ name: 'decode, ungrouped', ...one, ...square(32, 4096, 128), kind: 'decode', queries: 1 }],
  [{ name: 'decode ×8', ...one, ...llama, kind: 'decode', batch: 8, queries: 1, keys: 4096 }],
  [{ name: 'short', ...one, ...square(12, 16, 64), kind: 'short' }],
];

/** Pairs of a query and a key that it sees. */
export function visiblePairs({ batch, heads, queries, keys, causal, window = [Infinity, Infinity] }: Shape): number {
  let pairs = 0;
  for (let i = 0; i < queries; i++) {
    const position = keys - queries + i;
    const first = Math.max(0, position - window[0]);
    const last = Math.min(keys - 1, position + (causal ? 0 : window[1]), position + window[1]);
    pairs += Math.max(0, last - first + 1);
  }
  return batch * heads * pairs;
}

/** Two products with headDim multiplications and additions for each visible pair. The softmax is not counted. */
export function flops(shape: Shape): number {
  return 4 * visiblePairs(shape) * shape.headDim;
}

/** Bytes of K and V. */
export function keyValueBytes({ batch, kvHeads, keys, headDim }: Shape): number {
  return 2 * 4 * batch * kvHeads * keys * headDim;
}

/** As in the notes of this field: heads (KV heads) × queries × keys × headDim. */
export function sizes({ batch, heads, kvHeads, queries, keys, headDim, causal, window }: Shape): string {
  const count = `${batch > 1 ? `${batch} × ` : ''}${heads}${kvHeads === heads ? '' : ` (${kvHeads} KV)`}`;
  const length = queries === keys ? `${keys}` : `${queries} × ${keys}`;
  return `${count} × ${length} × ${headDim}${window ? ` window ${window[0] + 1}` : causal ? ' causal' : ''}`;
}
