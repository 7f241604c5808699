import { describe, expect, it } from 'vitest';
import { CausalConvWithState } from 'wasm-attention/onnx';
import { causalConv } from 'wasm-attention/reference';
import { expectAccurate, poisonedRuntime, random, testBuilds } from './support.ts';

describe('reference', () => {
  it('is the sum by hand', () => {
    const row = (...data: number[]) => ({ shape: [1, 1, data.length], data });
    const { output, state } = causalConv(row(1, 2, 3), row(10, 1), {
      state: row(5),
      bias: { shape: [1], data: [0.5] },
    });
    expect([...output.data]).toEqual([51.5, 12.5, 23.5]);
    expect([...state.data]).toEqual([3]);
    const silu = causalConv(row(2), row(1), { silu: true }).output.data[0];
    expect(silu).toBeCloseTo(2 / (1 + Math.exp(-2)), 15);
  });
});

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);
  const onnx = (array: ReturnType<typeof random>) => ({ dtype: 'float32' as const, ...array });

  it.each([1, 2, 3, 4, 5, 9])('size %i: every length, with a state or without, with silu or without', (size) => {
    for (const length of [0, 1, 2, 3, 4, 5, 8, 63, 65]) {
      for (const [withState, silu] of [
        [true, false],
        [false, true],
        [true, true],
      ]) {
        const channels = Math.max(5, Math.ceil(1000 / (length + 1)));
        const input = random([2, channels, length], 1);
        const weight = random([channels, 1, size], 2);
        const bias = withState ? random([channels], 3) : undefined;
        const past = withState ? random([2, channels, size - 1], 4) : undefined;
        const options = { bias, state: past, silu };
        const truth = causalConv(input, weight, options);
        const float32 = causalConv(input, weight, { ...options, precision: 'float32' });
        const { output, present_state } = CausalConvWithState(
          runtime,
          {
            input: onnx(input),
            weight: onnx(weight),
            bias: bias && onnx(bias),
            past_state: past && onnx(past),
          },
          { activation: silu ? 'silu' : 'none' },
        );
        expectAccurate(output.data as Float32Array, truth.output.data, float32.output.data);
        expect(Array.from(present_state.data as Float32Array)).toEqual(Array.from(truth.state.data));
      }
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });

  it('is one call over all inputs or two over their parts', () => {
    const [input, weight] = [random([1, 3, 10], 1), random([3, 1, 4], 2)];
    const part = (start: number, end: number) => ({
      dtype: 'float32' as const,
      shape: [1, 3, end - start],
      data: Float32Array.from([0, 1, 2].flatMap((c) => [...input.data.slice(c * 10 + start, c * 10 + end)])),
    });
    const whole = CausalConvWithState(runtime, { input: onnx(input), weight: onnx(weight) });
    for (const cut of [1, 2, 6]) {
      const first = CausalConvWithState(runtime, { input: part(0, cut), weight: onnx(weight) });
      const second = CausalConvWithState(runtime, {
        input: part(cut, 10),
        weight: onnx(weight),
        past_state: first.present_state,
      });
      expect(second.present_state.data).toEqual(whole.present_state.data);
      const rows = [0, 1, 2].flatMap((c) => [
        ...first.output.data.slice(c * cut, (c + 1) * cut),
        ...second.output.data.slice(c * (10 - cut), (c + 1) * (10 - cut)),
      ]);
      expect(rows).toEqual([...(whole.output.data as Float32Array)]);
    }
  });

  it('saturates', () => {
    const one = { dtype: 'float32' as const, shape: [1, 1, 1], data: Float32Array.of(1) };
    const silu = (x: number) =>
      CausalConvWithState(
        runtime,
        { input: { ...one, data: Float32Array.of(x) }, weight: one },
        { activation: 'swish' },
      ).output.data[0];
    expect(silu(200)).toBe(200);
    expect(Math.abs(Number(silu(-200)))).toBeLessThan(1e-30);
  });
});
