import { expect } from 'vitest';
import type { Layer, Runtime, Tensor } from 'wasm-attention';
import type { NdArray, Precision } from 'wasm-attention/reference';
import { expectAccurate, random } from './support.ts';

/** Parameters for a layer, under a prefix: projections of about unit gain, norms near 1. */
export function randomState(layer: Layer, seed: number, prefix = ''): Record<string, NdArray & { data: Float32Array }> {
  return Object.fromEntries(
    Object.entries(layer.shapes).map(([name, shape], i) => {
      if (/norm.*weight$/.test(name))
        return [prefix + name, { shape, data: random(shape, seed + i, 0.5).data.map((x) => 1 + x) }];
      const gain = shape.length === 1 ? 0.5 : Math.sqrt(3 / shape[shape.length - 1]);
      return [prefix + name, random(shape, seed + i, gain)];
    }),
  );
}

/** 1 (visible) for about two thirds of the entries. */
export function randomMask(shape: readonly number[], seed: number): NdArray & { data: Float32Array } {
  return { shape, data: random(shape, seed).data.map((x) => (x > -0.7 ? 1 : 0)) };
}

/** Loads the layer, holds `forward` to the reference, frees everything. */
export function checkLayer(
  layer: Layer,
  state: Record<string, NdArray>,
  forward: () => Tensor,
  reference: (precision: Precision) => NdArray,
): void {
  const { runtime } = layer;
  layer.load(state);
  const used = runtime.memory.usedBytes;
  runtime.scope(() => {
    const output = forward();
    const [truth, float32] = [reference('float64'), reference('float32')];
    expect(output.shape).toEqual(truth.shape);
    expectAccurate(output.data, truth.data, float32.data);
  });
  expect(runtime.memory.usedBytes).toBe(used);
  layer.dispose();
}

export function uploadMask(runtime: Runtime, mask: NdArray): Tensor<'boolean'> {
  return runtime.tensor(mask.shape, mask.data, 'boolean');
}
