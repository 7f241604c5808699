/** Attention as the formula has it, in plain JavaScript: all scores are written down. Rows are [tokens, dim]. */
export function naiveAttention(
  query: Float32Array,
  key: Float32Array,
  value: Float32Array,
  dim: number,
): { output: Float32Array; bytes: number } {
  const n = query.length / dim;
  const scores = new Float32Array(n * n);
  const output = new Float32Array(n * dim);
  const scale = 1 / Math.sqrt(dim);
  for (let i = 0; i < n; i++) {
    let most = -Infinity;
    for (let j = 0; j < n; j++) {
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += query[i * dim + c] * key[j * dim + c];
      scores[i * n + j] = dot * scale;
      most = Math.max(most, dot * scale);
    }
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const weight = Math.exp(scores[i * n + j] - most);
      scores[i * n + j] = weight;
      sum += weight;
    }
    for (let j = 0; j < n; j++) {
      const weight = scores[i * n + j] / sum;
      for (let c = 0; c < dim; c++) output[i * dim + c] += weight * value[j * dim + c];
    }
  }
  return { output, bytes: scores.byteLength };
}
