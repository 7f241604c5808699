import { describe, expect, it } from 'vitest';
import { masks, scaledDotProductAttention } from 'wasm-attention';
import type { AttentionOptions } from 'wasm-attention/reference';
import { dtypes, ROWS, using } from './cacheModel.ts';
import { poisonedRuntime, random, testBuilds, upload } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  describe.each(dtypes)('%s', (dtype) => {
    it('masks, bias, softcap, ALiBi, sink and scale', () => {
      using(
        runtime,
        { dtype, batch: 2, kvHeads: 2, headDim: 12, valueDim: 7, maxLength: 150, pageSize: 16 },
        (model) => {
          model.append(150, [150, 99]);
          const check = (options: AttentionOptions) => {
            for (const [queries, group] of ROWS.slice(0, 8)) {
              if (group !== 2 && options.alibiSlopes) continue;
              const { mask, bias, ...plain } = options;
              runtime.scope(() => {
                const ours = {
                  ...plain,
                  bias: bias && upload(runtime, bias),
                  mask: typeof mask === 'function' ? masks.fromPredicate(mask) : undefined,
                };
                model.attend(model.query(2 * group, queries), options, ours);
              });
            }
          };
          check({ mask: (b, h, i, j) => (i * 7 + j * 3 + b + h) % 5 < 2 });
          check({ mask: (_b, _h, i, j) => j % 40 > i, causal: true });
          check({ window: [20, 0], causal: true });
          check({ window: [3, 2] });
          check({ bias: random([150], 9), softcap: 3, scale: 2 });
          check({ bias: { shape: [2, 1, 1, 150], data: random([300], 8).data.map((x) => (x > 1 ? -Infinity : x)) } });
          check({ scale: -0.5, queryOffset: [30, 0], causal: true });
          check({ queryOffset: -2, causalAlignment: 'top-left', causal: true });
          const perHead = { alibiSlopes: [0.5, 0.25, 0.1, 0], sink: [0.5, -2, 1, 9] };
          check(perHead);
          check({ ...perHead, softcap: 10, causal: true, mask: (_b, _h, _i, j) => j % 3 > 0 });
        },
      );
    });

    it('a boolean tensor over cached keys', () => {
      using(runtime, { dtype, kvHeads: 1, headDim: 8, maxLength: 40, pageSize: 7 }, (model) => {
        model.append(40);
        const data = Uint8Array.from({ length: 40 }, (_, j) => (j % 7 > 2 ? 1 : 0));
        runtime.scope(() => {
          const mask = runtime.tensor([1, 40], data, 'boolean');
          for (const [queries, group] of ROWS) {
            model.attend(model.query(group, queries), { mask: { shape: [1, 40], data } }, { mask });
          }
        });
      });
    });

    it('bshd queries', () => {
      using(runtime, { dtype, batch: 2, kvHeads: 2, headDim: 8, valueDim: 5, maxLength: 1200 }, (model) => {
        model.append(1200, [1200, 700]);
        for (const [queries, group] of ROWS) {
          const query = model.query(2 * group, queries);
          const truth = model.reference.attend(query);
          runtime.scope(() => {
            const given = upload(runtime, query);
            const bshd = runtime.empty([2, queries, 2 * group, 8]);
            const heads = 2 * group;
            for (let at = 0; at < 2 * heads * queries; at++) {
              const [b, h, i] = [Math.floor(at / heads / queries), Math.floor(at / queries) % heads, at % queries];
              bshd.data.set(given.data.subarray(at * 8, at * 8 + 8), ((b * queries + i) * heads + h) * 8);
            }
            const output = scaledDotProductAttention(bshd, model.cache, { layout: 'bshd' }).data;
            const same = scaledDotProductAttention(given, model.cache).data;
            for (let at = 0; at < 2 * heads * queries; at++) {
              const [b, h, i] = [Math.floor(at / heads / queries), Math.floor(at / queries) % heads, at % queries];
              const start = ((b * queries + i) * heads + h) * 5;
              expect(output.slice(start, start + 5)).toEqual(same.slice(at * 5, at * 5 + 5));
              expect(output[start]).toBeCloseTo(truth.output.data[at * 5], 2);
            }
          });
        }
      });
    });

    it('keys split into parts of their own', () => {
      for (const [batch, kvHeads, headDim] of [
        [1, 1, 8],
        [1, 2, 64],
        [2, 1, 40],
      ]) {
        using(runtime, { dtype, batch, kvHeads, headDim, valueDim: 13, maxLength: 1700, pageSize: 500 }, (model) => {
          for (const length of [1024, 1031, 1700]) {
            const more = length - model.cache.length;
            model.append(more, batch > 1 ? [more, more % 300] : undefined);
            const sink = [3, -1, 0, 1, 2, -2].slice(0, kvHeads * 3);
            for (const queries of [1, 2]) {
              model.attend(model.query(kvHeads * 3, queries), { sink, causal: true });
              model.attend(model.query(kvHeads, queries), { window: [700, 0] });
            }
            // The first parts see nothing; the last sees nothing.
            model.attend(model.query(kvHeads, 1), { window: [20, 0] });
            model.attend(model.query(kvHeads, 1), { causal: true, queryOffset: 3, sink: sink.slice(0, kvHeads) });
            model.attend(model.query(kvHeads, 1), { causal: true, queryOffset: -1 });
          }
        });
      }
    });
  });
});
