/** A median with the interval in which it lies at 95 % confidence. */
export type Estimate = { median: number; low: number; high: number };

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The confidence interval of a median by order statistics (Conover 1999, 3.2): no assumption on the distribution. */
export function estimate(samples: readonly number[]): Estimate {
  const sorted = [...samples].sort((a, b) => a - b);
  const n = sorted.length;
  const rank = Math.max(0, Math.floor((n - 1.96 * Math.sqrt(n)) / 2));
  return { median: median(sorted), low: sorted[rank], high: sorted[n - 1 - rank] };
}

/** `numerator / denominator` round by round where both ran in the same rounds, else of their medians. */
export function ratio(numerator: readonly number[], denominator: readonly number[]): Estimate {
  if (numerator.length === denominator.length) return estimate(numerator.map((value, i) => value / denominator[i]));
  const [a, b] = [estimate(numerator), estimate(denominator)];
  return { median: a.median / b.median, low: a.low / b.high, high: a.high / b.low };
}
