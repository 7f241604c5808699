import { describe, it } from 'vitest';
import { dtypes, ROWS, using } from './cacheModel.ts';
import { poisonedRuntime, testBuilds } from './support.ts';

const DIMS = [1, 3, 40, 59, 64, 80, 111, 128, 256];
describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  describe.each(dtypes)('%s', (dtype) => {
    it.each(DIMS)('headDim %i, any number of rows', (headDim) => {
      using(runtime, { dtype, batch: 2, kvHeads: 2, headDim, maxLength: 70, pageSize: 32 }, (model) => {
        model.append(70, [70, 41]);
        for (const [queries, group] of ROWS) model.attend(model.query(2 * group, queries), { causal: true });
      });
    });

    it.each(DIMS)('valueDim %i beside headDim 20', (valueDim) => {
      using(runtime, { dtype, kvHeads: 2, headDim: 20, valueDim, maxLength: 90 }, (model) => {
        model.append(90);
        for (const [queries, group] of ROWS) model.attend(model.query(2 * group, queries));
      });
    });

    it('headDim 2049 and beyond', () => {
      using(runtime, { dtype, kvHeads: 1, headDim: 2052, valueDim: 600, maxLength: 9 }, (model) => {
        model.append(9);
        for (const group of [1, 4]) model.attend(model.query(group, 1));
      });
    });

    it('lengths around the edges of pages and tiles', () => {
      for (const pageSize of [1, 16, 24, 130]) {
        using(runtime, { dtype, kvHeads: 1, headDim: 64, valueDim: 40, maxLength: 130, pageSize }, (model) => {
          for (const length of [0, 1, 2, 7, 15, 16, 17, 23, 24, 25, 47, 48, 49, 96, 97, 129, 130]) {
            model.append(length - model.cache.length);
            for (const group of [1, 2, 9]) model.attend(model.query(group, 1));
          }
        });
      }
    });
  });
});
