import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Choice } from './soak/choice.ts';
import { operations } from './soak/operations.ts';
import { free } from './soak/tester.ts';
import { Inputs } from './soak/trial.ts';
import { builds, runtimeOf } from './support.ts';

const LIMIT = new RangeError('memory limit: reached, for this test');

describe.each(builds)('%s', (build) => {
  const runtime = runtimeOf(build);
  const { allocator } = runtime;
  const allocate = allocator.allocate.bind(allocator);

  /** Lets the call with this number, and all after it, find no memory. */
  function refuseFrom(number: number): void {
    let calls = 0;
    allocator.allocate = (bytes) => {
      if (++calls >= number) throw LIMIT;
      return allocate(bytes);
    };
  }

  it.each(Object.keys(operations))(
    '%s: whichever allocation fails, all is freed and nothing has changed',
    async (name) => {
      await fc.assert(
        fc.asyncProperty(fc.gen(), async (draw) => {
          const pick = new Choice(draw);
          const inputs = new Inputs(runtime, pick);
          const trial = operations[name](inputs, pick);
          const used = runtime.memory.usedBytes;
          let result: unknown;
          for (let number = 1, failed = true; failed; number++) {
            refuseFrom(number);
            try {
              result = await trial.call(...trial.args);
              failed = false;
            } catch (error) {
              expect(error).toBe(LIMIT);
              expect(runtime.memory.usedBytes).toBe(used);
              trial.unchanged?.();
            } finally {
              allocator.allocate = allocate;
            }
          }
          // Of inputs that are as they were.
          trial.check(result);
          free(result, inputs);
          trial.after?.();
          inputs.dispose();
          expect(runtime.memory.usedBytes).toBe(0);
        }),
        { numRuns: 6, seed: Number(process.env.RANDOM_SEED ?? 1) },
      );
    },
  );
});
