/** columns[dim][8] = scale · rows[8][dim]: rows past `count` repeat the last one. */
export function pack(columns: usize, rows: usize, count: i32, dim: i32, rowBytes: usize, scale: f64): void {
  for (let lane = 0; lane < 8; lane++) {
    const row = rows + <usize>min(lane, count - 1) * rowBytes;
    for (let d: usize = 0; d < <usize>dim; d++) {
      store<f32>(columns + (d << 5) + (<usize>lane << 2), <f32>(<f64>load<f32>(row + (d << 2)) * scale));
    }
  }
}

/** rows[count][dim] = columns[dim][8] · factors[8], where a factor of 0 writes 0 whatever the column holds. */
export function unpack(rows: usize, columns: usize, count: i32, dim: i32, rowBytes: usize, factors: usize): void {
  for (let lane = 0; lane < count; lane++) {
    const row = rows + <usize>lane * rowBytes;
    const factor = load<f32>(factors + (<usize>lane << 2));
    for (let d: usize = 0; d < <usize>dim; d++) {
      const x = load<f32>(columns + (d << 5) + (<usize>lane << 2));
      store<f32>(row + (d << 2), factor == 0 ? 0 : x * factor);
    }
  }
}
