import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Runtime } from 'wasm-attention';
import { kinds, MOST_BYTES, runtimeFor } from './soak/runtimes.ts';
import { Tester } from './soak/tester.ts';

const MIDDLE = 2 ** 31;
const CALLS = 250;

/** Takes all memory up to a little below 2³¹. Its pages are never touched, so that they cost nothing. */
function fill(runtime: Runtime): void {
  const { allocator } = runtime;
  const first = allocator.allocate(64);
  allocator.allocate(MIDDLE - 8192 - first - 256);
}

describe.each(kinds)('%s', (kind) => {
  it('functions called at random are right where addresses are above 2³¹', async ({ skip }) => {
    const runtime = await runtimeFor(kind, MIDDLE + MOST_BYTES);
    try {
      fill(runtime);
    } catch (error) {
      return skip(`2 GiB of address space cannot be had here: ${error}`);
    }
    const tensor = runtime.zeros([4096]);
    expect(tensor.address + tensor.size * 4).toBeGreaterThan(MIDDLE);
    tensor.dispose();
    const tester = new Tester([runtime]);
    await fc.assert(
      fc.asyncProperty(fc.gen(), (draw) => tester.call(draw)),
      { numRuns: CALLS, seed: Number(process.env.RANDOM_SEED ?? 1) },
    );
    expect(runtime.memory.peakBytes).toBeGreaterThan(MIDDLE);
    runtime.dispose();
  });
});
