import { Rope, Table } from './params';
import { rotate } from './micro/rotate';
import { pointer, word } from './simd/lanes';

/** Functions whose last bit differs between the engines' own. */
export function exp(x: f64): f64 {
  return NativeMath.exp(x);
}

export function log(x: f64): f64 {
  return NativeMath.log(x);
}

export function sin(x: f64): f64 {
  sincos(x);
  return sine;
}

export function cos(x: f64): f64 {
  sincos(x);
  return cosine;
}

let sine: f64 = 0, cosine: f64 = 0;

/** From 2²⁰·π/2 to 2²² the library's reduction reads before its table (AssemblyScript 0.28.20): it gets a quarter of such an angle. */
function sincos(x: f64): void {
  const quarter = abs(x) > <f64>(1 << 20) && abs(x) < <f64>(1 << 22);
  NativeMath.sincos(quarter ? x / 4 : x);
  sine = NativeMath.sincos_sin;
  cosine = NativeMath.sincos_cos;
  for (let doubled = 0; quarter && doubled < 2; doubled++) {
    const s = sine;
    sine = 2 * s * cosine;
    cosine = 1 - 2 * s * s;
  }
}

/** sin and cos of position · frequency, computed in float64 and rounded once, times `scale`; a column's position is that of its axis. */
export function angles(params: usize): void {
  const sin = pointer(params, Table.sin), cos = pointer(params, Table.cos);
  const positions = pointer(params, Table.positions), frequencies = pointer(params, Table.frequencies);
  const axes = pointer(params, Table.axes), rows = word(params, Table.rows), scale = load<f32>(params + (Table.scale << 2));
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < word(params, Table.columns); k++) {
      const axis = load<i32>(axes + (<usize>k << 2)), position = load<f64>(positions + (<usize>(axis * rows + i) << 3));
      const angle = position * load<f64>(frequencies + (<usize>k << 3));
      const at = <usize>(i * word(params, Table.rowStride) + k * word(params, Table.columnStride)) << 2;
      sincos(angle);
      store<f32>(sin + at, <f32>(sine * <f64>scale));
      store<f32>(cos + at, <f32>(cosine * <f64>scale));
    }
  }
}

/** Rotary embedding; one task is one head of one batch; output may be the input. */
export function rope(params: usize, task: i32): void {
  const heads = word(params, Rope.heads), length = word(params, Rope.length), half = word(params, Rope.rotaryDim) >> 1;
  const b = task / heads, h = task % heads, rest = <usize>half << 3, restBytes = (<usize>word(params, Rope.headDim) << 2) - rest;
  const rows = pointer(params, Rope.rowOf) + (<usize>(b * length) << 2);
  let input = pointer(params, Rope.input) + (<usize>(b * word(params, Rope.inputBatch) + h * word(params, Rope.inputHead)) << 2);
  let output = pointer(params, Rope.output) + (<usize>(b * word(params, Rope.outputBatch) + h * word(params, Rope.outputHead)) << 2);
  for (let i = 0; i < length; i++) {
    const row = <usize>(load<i32>(rows + (<usize>i << 2)) * half) << 2;
    const cos = pointer(params, Rope.cos) + row, sin = pointer(params, Rope.sin) + row;
    rotate(output, input, cos, sin, half, word(params, Rope.interleaved) != 0);
    if (output != input) memory.copy(output + rest, input + rest, restBytes);
    input += <usize>word(params, Rope.inputRow) << 2;
    output += <usize>word(params, Rope.outputRow) << 2;
  }
}
