import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operations } from './soak/operations.ts';
import { kinds, runtimeFor } from './soak/runtimes.ts';
import { Tester } from './soak/tester.ts';

/** Of all kinds of runtimes together; `npm run soak` makes more. */
const CALLS = Number(process.env.RANDOM_CALLS ?? 10_000);

describe.each(kinds)('%s', (kind) => {
  it('functions called at random are right or refuse, write nothing but their outputs and free all memory', async () => {
    const runtime = await runtimeFor(kind);
    const tester = new Tester([runtime]);
    const used = runtime.memory.usedBytes;
    await fc.assert(
      fc.asyncProperty(fc.gen(), (draw) => tester.call(draw)),
      { numRuns: CALLS / kinds.length, seed: Number(process.env.RANDOM_SEED ?? 1), endOnFailure: false },
    );
    expect([...tester.counts.keys()].sort()).toEqual(Object.keys(operations).sort());
    expect(runtime.memory.usedBytes).toBe(used);
    runtime.dispose();
  });
});
