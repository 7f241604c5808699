import {
  attentionState,
  KVCache,
  type KVCacheOptions,
  scaledDotProductAttentionAsync,
  type Tensor,
} from 'wasm-attention';
import { dtypes, Model, type Options } from '../cacheModel.ts';
import type { Choice } from './choice.ts';
import { expectClose, type Inputs, type Operation, type Trial } from './trial.ts';

const MOST = 24;

function optionsFor(pick: Choice): Options {
  const dtype = pick.one(...dtypes);
  const headDim = pick.one(1, 2, 3, 8, 18);
  const style = pick.one('half' as const, 'interleaved' as const);
  const ring = pick.chance();
  return {
    batch: pick.integer(1, 3),
    kvHeads: pick.integer(1, 2),
    headDim,
    valueDim: pick.one(1, 3, 8, 17),
    dtype,
    pageSize: pick.one(1, 3, 16, undefined),
    ...(ring ? { window: pick.integer(1, 12), sinks: pick.integer(0, 4) } : { maxLength: MOST }),
    // Rounded to float32 before it is rounded to float16 or int8, a turned key is sometimes a step away.
    rotary: dtype === 'float32' && pick.chance() ? { style, rotaryDim: headDim - (headDim % 2) } : undefined,
  };
}

/** A cache to which something was done already. */
function modelFor(inputs: Inputs, pick: Choice): Model {
  const model = new Model(inputs.runtime, optionsFor(pick));
  const { batch = 1, window } = model.options;
  for (let left = pick.integer(0, 4); left > 0; left--) {
    pick.one(
      () => model.append(pick.integer(0, 5)),
      () => model.append(4, pick.list(batch, 0, 4)),
      () => {
        if (window !== undefined) return;
        const [from, to] = pick.list(2, 0, batch - 1);
        model.cache.fork(from, to);
        model.reference.fork(from, to);
      },
    )();
  }
  return model;
}

const shape = ({ options: { batch = 1 } }: Model, heads: number, tokens: number, dim: number) => [
  batch,
  heads,
  tokens,
  dim,
];

/** A trial of a step, after which the cache is still its model. */
function step(model: Model, given: Pick<Trial, 'args' | 'call'>, check: (result: unknown) => void): Trial {
  const { cache } = model;
  const state = () => JSON.stringify([cache.lengths, cache.positions, cache.freePages]);
  const before = state();
  return {
    ...given,
    check(result) {
      check(result);
      model.expectSame();
      model.attend(model.query(2 * model.options.kvHeads, 2));
    },
    unchanged() {
      if (state() !== before) throw new Error(`the cache was ${before} and is ${state()} after a refused call`);
    },
    after: () => cache.dispose(),
  };
}

const append: Operation = (inputs, pick) => {
  const model = modelFor(inputs, pick);
  const { kvHeads, headDim, valueDim = headDim, batch = 1 } = model.options;
  const tokens = pick.integer(0, 4);
  const [key, value] = [headDim, valueDim].map((dim) => inputs.random(shape(model, kvHeads, tokens, dim)));
  const options = { lengths: pick.maybe(() => pick.list(batch, 0, tokens)) };
  const args = [inputs.upload(key), inputs.upload(value), options];
  return step(model, { args, call: (...given) => void model.cache.append(given[0], given[1], given[2]) }, () =>
    model.reference.append(key, value, options),
  );
};

const change: Operation = (inputs, pick) => {
  const model = modelFor(inputs, pick);
  const { cache, reference } = model;
  const { batch = 1, window, sinks = 0 } = model.options;
  const turned = window !== undefined && reference.positions.some((n, b) => n > reference.lengths[b]);
  const length = pick.integer(turned ? sinks : 0, MOST);
  const [from, to] = pick.list(2, 0, batch - 1);
  const truncate = { args: [length], call: (n: number) => void cache.truncate(n) };
  const fork = { args: [from, to], call: (a: number, b: number) => void cache.fork(a, b) };
  if (window !== undefined || pick.chance()) return step(model, truncate, () => reference.truncate(length));
  return step(model, fork, () => reference.fork(from, to));
};

const reset: Operation = (inputs, pick) => {
  const model = modelFor(inputs, pick);
  return step(model, { args: [], call: () => void model.cache.reset() }, () => model.reference.reset());
};

const attend: Operation = (inputs, pick) => {
  const model = modelFor(inputs, pick);
  const { kvHeads, headDim, dtype } = model.options;
  const query = inputs.random(shape(model, kvHeads * pick.integer(1, 5), pick.integer(1, 4), headDim));
  const options = { causal: pick.chance(), softcap: pick.maybe(() => 5) };
  const args = [inputs.upload(query), model.cache, options];
  const truth = () => model.reference.attend(query, options);
  const trial: Trial = pick.chance()
    ? {
        args,
        call: attentionState,
        check: ({ output, lse }: { output: Tensor; lse: Tensor }) => {
          expectClose(output.data, truth().output.data, 'output', dtype === 'int8' ? 1e-2 : undefined);
          expectClose(lse.data, truth().lse.data, 'lse', dtype === 'int8' ? 1e-2 : undefined);
        },
      }
    : {
        args,
        call: scaledDotProductAttentionAsync,
        check: (output: Tensor) =>
          expectClose(output.data, truth().output.data, 'output', dtype === 'int8' ? 1e-2 : undefined),
      };
  return { ...trial, after: () => model.cache.dispose() };
};

const make: Operation = (inputs, pick) => {
  const { rotary: _, ...options } = optionsFor(pick);
  return {
    args: [options],
    call: (given: KVCacheOptions) => new KVCache(inputs.runtime, given),
    check(cache: KVCache) {
      if (cache.length !== 0 || cache.headDim !== options.headDim) throw new Error('a new cache is not as asked for');
    },
  };
};

export const cacheOperations: Record<string, Operation> = {
  KVCache: make,
  'KVCache.append': append,
  'KVCache.truncate, fork': change,
  'KVCache.reset': reset,
  'attention of a cache': attend,
};
