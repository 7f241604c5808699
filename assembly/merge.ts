/**
 * (output, lse) ← (output, lse) merged with (other, otherLse) over `rows` rows of `dim`, row i of the outputs at element `i · rowStride`:
 * o = (wₐoₐ + w_b o_b) / (wₐ + w_b), w = e^(lse − max). −∞ is the identity (Juravsky et al. 2024, sec. 3.2).
 */
export function merge(output: usize, lse: usize, other: usize, otherLse: usize, rows: i32, dim: i32, rowStride: i32): void {
  for (let i = 0; i < rows; i++, output += <usize>rowStride << 2, other += <usize>rowStride << 2, lse += 4, otherLse += 4) {
    const a = <f64>load<f32>(lse), b = <f64>load<f32>(otherLse);
    if (b == -Infinity) continue;
    const m = max(a, b), x = NativeMath.exp(a - m), y = NativeMath.exp(b - m), sum = x + y;
    store<f32>(lse, <f32>(m + NativeMath.log(sum)));
    const wa = <f32>(x / sum), wb = <f32>(y / sum);
    for (let d: usize = 0; d < <usize>dim << 2; d += 4) {
      const o = wb * load<f32>(other + d);
      store<f32>(output + d, wa == 0 ? o : wa * load<f32>(output + d) + o);
    }
  }
}

/** output[rows][dim], lse[rows] = the states [rows][splits] merged; rows of the output are `rowStride` elements apart, `lse` may be 0. */
export function combine(output: usize, lse: usize, states: usize, statesLse: usize, rows: i32, splits: i32, dim: i32, rowStride: i32): void {
  const bytes = <usize>dim << 2;
  for (let i = 0; i < rows; i++, output += <usize>rowStride << 2, states += <usize>splits * bytes, statesLse += <usize>splits << 2) {
    let m: f64 = -Infinity, sum: f64 = 0;
    for (let s = 0; s < splits; s++) m = max(m, <f64>load<f32>(statesLse + (<usize>s << 2)));
    memory.fill(output, 0, bytes);
    if (m != -Infinity) {
      for (let s = 0; s < splits; s++) sum += NativeMath.exp(<f64>load<f32>(statesLse + (<usize>s << 2)) - m);
      for (let s = 0; s < splits; s++) {
        const weight = <f32>(NativeMath.exp(<f64>load<f32>(statesLse + (<usize>s << 2)) - m) / sum), from = states + <usize>s * bytes;
        if (weight == 0) continue;
        for (let d: usize = 0; d < bytes; d += 4) store<f32>(output + d, load<f32>(output + d) + weight * load<f32>(from + d));
      }
    }
    if (lse != 0) store<f32>(lse + (<usize>i << 2), <f32>(m + NativeMath.log(sum)));
  }
}
