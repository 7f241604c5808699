/** Whether position `p` of a query sees key `j`. */
export type Pattern = (p: number, j: number) => boolean;

/** Beltagy, Peters & Cohan 2020, section 3.1: a window on either side in steps of `dilation`; global tokens see all and are seen by all. */
export function longformerPattern(window: number, dilation: number, globalTokens: readonly number[]): Pattern {
  return (p, j) => {
    if (globalTokens.includes(p) || globalTokens.includes(j)) return true;
    for (let step = -window; step <= window; step++) if (j === p + step * dilation) return true;
    return false;
  };
}

/**
 * Zaheer et al. 2020, appendix D, as `full_bigbird_mask` of google-research/bigbird builds it: a matrix of blocks.
 * @param random the random blocks of each block
 */
export function bigBirdPattern(
  blocks: number,
  blockSize: number,
  { start, end, window }: { start: number; end: number; window: number },
  random: readonly (readonly number[])[],
): Pattern {
  const matrix = Array.from({ length: blocks }, () => new Array<boolean>(blocks).fill(false));
  for (let i = 0; i < blocks; i++) {
    for (let j = i - (window - 1) / 2; j <= i + (window - 1) / 2; j++) if (j >= 0 && j < blocks) matrix[i][j] = true;
    for (const j of random[i]) matrix[i][j] = true;
  }
  for (let i = 0; i < blocks; i++) {
    for (let g = 0; g < blocks; g++) {
      if (g >= start && g < blocks - end) continue;
      matrix[i][g] = true;
      matrix[g][i] = true;
    }
  }
  return (p, j) => matrix[Math.floor(p / blockSize)]?.[Math.floor(j / blockSize)] ?? false;
}

/** Sequences packed one behind the other, FlashAttention's `cu_seqlens`: each token belongs to one, and sees that. */
export function documentsPattern(cuSeqlens: readonly number[]): Pattern {
  const owner: number[] = [];
  for (let d = 0; d + 1 < cuSeqlens.length; d++) for (let t = cuSeqlens[d]; t < cuSeqlens[d + 1]; t++) owner[t] = d;
  return (p, j) => owner[p] !== undefined && owner[p] === owner[j];
}

/** Raffel et al. 2020, section 3.2.1: a prefix that is fully visible, then causal. */
export function prefixPattern(prefix: number): Pattern {
  return (p, j) => j < prefix || j <= p;
}

/** Chunks of positions, each of which sees itself. */
export function chunkedPattern(size: number): Pattern {
  return (p, j) => p - (((p % size) + size) % size) === j - (j % size);
}

/** A window with gaps: Longformer's without global tokens. */
export function dilatedPattern(window: number, dilation: number): Pattern {
  return longformerPattern(window, dilation, []);
}
