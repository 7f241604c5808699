import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtypes, Model, type Options } from './cacheModel.ts';
import { builds, poisonedRuntime } from './support.ts';

type Step = fc.Command<{ made: boolean }, Model>;

/** A step on a cache and its model, which `Model` holds to each other. */
function step(name: string, run: (model: Model) => void): Step {
  return {
    check: () => true,
    run: (_, model) => {
      run(model);
      model.expectSame();
    },
    toString: () => name,
  };
}

const small = (max: number, min = 0) => fc.integer({ min, max });

const append = fc
  .tuple(small(6), fc.array(small(6), { minLength: 3, maxLength: 3 }), fc.boolean())
  .map(([tokens, lengths, ragged]) =>
    step(`append ${tokens} ${ragged ? lengths : ''}`, (model) => {
      const { batch = 1, maxLength } = model.options;
      const counts = lengths.slice(0, batch).map((n) => Math.min(n, tokens));
      const given = ragged ? counts : undefined;
      const { lengths: before, freePages } = model.cache;
      const fits = before.every((n, b) => n + (given?.[b] ?? tokens) <= (maxLength ?? Infinity));
      try {
        model.append(tokens, given);
      } catch (error) {
        const { message } = error as RangeError;
        if (fits)
          expect([message, model.options.pages]).toEqual([expect.stringMatching(/pages are/), expect.anything()]);
        else expect(message).toMatch(/but maxLength is/);
        expect([model.cache.lengths, model.cache.freePages]).toEqual([before, freePages]);
        return;
      }
      expect(fits).toBe(true);
    }),
  );

const truncate = fc.tuple(small(14), small(14), small(14), fc.boolean()).map(([a, b, c, one]) =>
  step(`truncate ${one ? a : [a, b, c]}`, (model) => {
    const { batch = 1, sinks = 0 } = model.options;
    const { lengths, positions } = model.reference;
    const turned = (s: number) => positions[s] > lengths[s];
    const wanted = [a, b, c].slice(0, batch).map((n, s) => (turned(s) ? Math.max(n, sinks) : n));
    const length = one ? Math.max(...wanted) : wanted;
    model.cache.truncate(length);
    model.reference.truncate(length);
  }),
);

const fork = fc.tuple(small(2), small(2)).map(([from, to]) =>
  step(`fork ${from} ${to}`, (model) => {
    const { batch = 1, window } = model.options;
    if (window !== undefined) return;
    model.cache.fork(from % batch, to % batch);
    model.reference.fork(from % batch, to % batch);
  }),
);

const reset = fc.constant(
  step('reset', (model) => {
    model.cache.reset();
    model.reference.reset();
    const { pages, pageSize = model.cache.capacity } = model.options;
    expect(model.cache.freePages).toBe(pages ?? model.cache.batch * Math.ceil(model.cache.capacity / pageSize));
  }),
);

const attend = fc.tuple(small(3, 1), small(5, 1), fc.boolean()).map(([queries, group, causal]) =>
  step(`attend ${queries}×${group} ${causal ? 'causal' : ''}`, (model) => {
    model.attend(model.query(group * model.options.kvHeads, queries), { causal });
  }),
);

const options: fc.Arbitrary<Options> = fc
  .record({
    batch: small(3, 1),
    kvHeads: small(2, 1),
    headDim: fc.constantFrom(1, 2, 3, 8, 18),
    valueDim: fc.constantFrom(1, 3, 8, 17),
    dtype: fc.constantFrom(...dtypes),
    pageSize: fc.constantFrom(1, 3, 16, undefined),
    pages: fc.constantFrom(undefined, undefined, 4),
    length: small(13, 1),
    sinks: fc.option(small(4), { nil: undefined, freq: 1 }),
    rotary: fc.constantFrom(undefined, 'half' as const, 'interleaved' as const),
    sharedValues: fc.constantFrom(true, false, false),
  })
  .map(({ length, sinks, rotary, ...rest }) => ({
    ...rest,
    valueDim: rest.sharedValues ? Math.min(rest.valueDim, rest.headDim) : rest.valueDim,
    ...(sinks === undefined ? { maxLength: length } : { window: length, sinks }),
    // Rounded to float32 before it is rounded to float16 or int8, a turned key is sometimes a step away: cache.rotary.test.ts.
    rotary:
      rotary && rest.dtype === 'float32' && !rest.sharedValues
        ? { style: rotary, rotaryDim: rest.headDim - (rest.headDim % 2) }
        : undefined,
  }));

describe.each(builds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  it('a cache is the lists of its tokens, whatever is done to it', () => {
    const steps = fc.commands<{ made: boolean }, Model>([append, append, truncate, fork, reset, attend, attend], {
      maxCommands: 40,
      size: 'max',
    });
    fc.assert(
      fc.property(options, steps, (given, commands) => {
        const used = runtime.memory.usedBytes;
        runtime.scope(() => {
          const model = new Model(runtime, given);
          fc.modelRun(() => ({ model: { made: true }, real: model }), commands);
          model.cache.dispose();
        });
        expect(runtime.memory.usedBytes).toBe(used);
      }),
      {
        numRuns: Number(process.env.RANDOM_RUNS ?? 200),
        seed: process.env.RANDOM_SEED ? Number(process.env.RANDOM_SEED) : 1,
      },
    );
  });
});
