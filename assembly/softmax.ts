import { exp2 } from './simd/exp2';

/** Row softmax in place over [rows, length], natural units; `sink` joins the denominator (−∞: none). A row of −∞ becomes 0. */
export function softmax(data: usize, rows: i32, length: i32, sink: f32): void {
  for (let i = 0; i < rows; i++, data += <usize>length << 2) {
    let max = sink;
    for (let j = 0; j < length; j++) {
      const x = load<f32>(data + (<usize>j << 2));
      if (x > max) max = x;
    }
    if (max == -f32.MAX_VALUE - f32.MAX_VALUE) max = 0;
    let sum: f64 = NativeMath.exp(<f64>sink - <f64>max);
    for (let j = 0; j < length; j++) {
      const at = data + (<usize>j << 2);
      const x = load<f32>(at);
      const p = f32x4.extract_lane(exp2(f32x4.splat(<f32>((<f64>x - <f64>max) * 1.4426950408889634))), 0);
      store<f32>(at, p);
      sum += p;
    }
    const inverse = sum == 0 ? <f64>0 : 1 / sum;
    for (let j = 0; j < length; j++) {
      const at = data + (<usize>j << 2);
      const p = load<f32>(at);
      store<f32>(at, p == 0 ? 0 : <f32>(<f64>p * inverse));
    }
  }
}
