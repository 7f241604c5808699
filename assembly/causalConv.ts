import { CausalConv } from './params';
import { copyRow } from './micro/rows';
import { exp } from './simd/exp';
import { madd, pointer, word } from './simd/lanes';

// output[t] = bias + Σ_k weight[k] · x[t + k − (size − 1)], x going back into the state: the short convolution before gated linear
// attention. Scratch: 4 outputs, then the state and the input in one row.

const ROW: usize = 16;

export function causalConvScratchBytes(params: usize): usize {
  return ROW + (<usize>(word(params, CausalConv.length) + word(params, CausalConv.size) + 4) << 2);
}

/** One task: a channel of a batch. */
export function causalConv(params: usize, task: i32, scratch: usize): void {
  const size = word(params, CausalConv.size), length = word(params, CausalConv.length), channel = task % word(params, CausalConv.channels);
  const pastBytes = <usize>(size - 1) << 2, lengthBytes = <usize>length << 2, row = scratch + ROW;
  const state = pointer(params, CausalConv.state), bias = pointer(params, CausalConv.bias), silu = word(params, CausalConv.silu) != 0;
  if (state == 0) memory.fill(row, 0, pastBytes);
  else memory.copy(row, state + <usize>task * pastBytes, pastBytes);
  memory.copy(row + pastBytes, pointer(params, CausalConv.input) + <usize>task * lengthBytes, lengthBytes);
  const weight = pointer(params, CausalConv.weight) + <usize>(channel * size) * 4, output = pointer(params, CausalConv.output) + <usize>task * lengthBytes;
  const b = bias == 0 ? f32x4.splat(0) : v128.load32_splat(bias + (<usize>channel << 2));
  for (let t = 0; t < length; t += 4) {
    const y = products(weight, row + (<usize>t << 2), size, b);
    v128.store(scratch, silu ? f32x4.div(y, f32x4.add(f32x4.splat(1), exp(f32x4.neg(y)))) : y);
    copyRow(output + (<usize>t << 2), scratch, min(length - t, 4));
  }
  memory.copy(pointer(params, CausalConv.newState) + <usize>task * pastBytes, row + lengthBytes, pastBytes);
}

// @ts-ignore: top-level decorator
@inline
function products(weight: usize, row: usize, size: i32, sum: v128): v128 {
  for (const end = weight + (<usize>size << 2); weight < end; weight += 4, row += 4) sum = madd(v128.load32_splat(weight), v128.load(row), sum);
  return sum;
}
