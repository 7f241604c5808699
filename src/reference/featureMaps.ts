/** Random features of FAVOR+: `projection` [features, headDim], row-major. */
export type FavorFeatures = {
  readonly headDim: number;
  readonly features: number;
  readonly projection: Float32Array;
};

/** cosFormer's positions: keys and queries begin at `offset` (default 0) of a sequence of `maxLength` (default max(queries, keys)). */
export type Cosformer = { readonly type: 'cosformer'; readonly maxLength?: number; readonly offset?: number };

/** `'cosformer'` is `{ type: 'cosformer' }`. */
export type FeatureMap = 'identity' | 'elu' | 'relu' | 'cosformer' | Cosformer | FavorFeatures;

/** How random features are drawn. */
export type FavorOptions = {
  headDim: number;
  /** How many features. Default `⌊d·ln d⌋`, at least 1. */
  features?: number;
  /** An integer. Default 0. */
  seed?: number;
  /** Whether rows are orthogonal within blocks of `headDim`. Default true. */
  orthogonal?: boolean;
};

/**
 * The random features ω of FAVOR+: rows of N(0, I); orthogonal ones are directions by Gram–Schmidt (the Q of a QR decomposition)
 * with the norms of other rows of N(0, I).
 *
 * Source: Choromanski et al. 2021 (Performer), section 2.4, and the block-orthogonal form of the authors' code.
 */
export function favorFeatures({ headDim, features, seed = 0, orthogonal = true }: FavorOptions): FavorFeatures {
  const rows = features ?? Math.max(1, Math.floor(headDim * Math.log(headDim)));
  const normal = normals(seed);
  const gaussian = () => Float64Array.from({ length: headDim }, normal);
  const projection = new Float32Array(rows * headDim);
  let block: Float64Array[] = [];
  for (let i = 0; i < rows; i++) {
    let row = gaussian();
    if (orthogonal) {
      if (block.length === headDim) block = [];
      const norm = length(row);
      row = gaussian();
      // Twice is enough: Gram–Schmidt once loses orthogonality to rounding.
      for (const other of [...block, ...block]) {
        const along = row.reduce((sum, x, d) => sum + x * other[d], 0);
        row = row.map((x, d) => x - along * other[d]);
      }
      const size = length(row);
      row = row.map((x) => x / size);
      block.push(row);
      row = row.map((x) => x * norm);
    }
    projection.set(row, i * headDim);
  }
  return { headDim, features: rows, projection };
}

function length(row: Float64Array): number {
  return Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
}

/** N(0, 1) by Box–Muller from mulberry32. */
function normals(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * The decays of RetNet's heads for the rule `'gated'`, in log space: `ln γ_h`, `γ_h = 1 − 2^{−5−h}`.
 *
 * Source: Sun et al. 2023 (RetNet), section 2.2, eq. 8.
 *
 * @returns [heads]
 */
export function retentionDecay(heads: number): Float64Array {
  return Float64Array.from({ length: heads }, (_, h) => lnOneMinus(2 ** (-5 - h)));
}

/** `ln(1 − x)`, x ≤ 1/32, by its series: `Math.log1p` differs between engines in the last bit. */
function lnOneMinus(x: number): number {
  let sum = 0;
  for (let k = 12; k >= 1; k--) sum = x * (1 / k + sum);
  return -sum;
}
