import {
  alibiSlopes,
  createRuntime,
  KVCache,
  linearAttention,
  RotaryEmbedding,
  type Runtime,
  type RuntimeOptions,
  scaledDotProductAttention,
  sinusoidalEncoding,
  type Tensor,
} from 'wasm-attention';
import { attention, linearAttention as linearReference, type NdArray, rotaryEmbedding } from 'wasm-attention/reference';

export type Result = {
  build: string;
  threads: number;
  threadsReason?: string;
  /** From `createRuntime` to the first output, in ms; 0 where the platform stops its clocks. */
  first: number;
  /** Of each check, the largest error against the float64 reference, in units of its bound. */
  errors: Record<string, number>;
  /** Of the bits that the simd build gives. */
  digests: Record<string, string>;
};

/** Values of the inputs are below 2 and rows short: float32 stays far below this. */
const BOUND = 2e-5;

/** The same values on every engine. */
function random(shape: number[], seed: number): NdArray & { data: Float32Array } {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  const length = shape.reduce((product, n) => product * n, 1);
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 30 - 2;
  };
  return { shape, data: Float32Array.from({ length }, next) };
}

const upload = (runtime: Runtime, { shape, data }: NdArray) => runtime.tensor(shape, data);

function error(actual: Tensor, { data }: { data: ArrayLike<number> }): number {
  return actual.toArray().reduce((worst, value, i) => Math.max(worst, Math.abs(value - data[i]) / BOUND), 0);
}

/** FNV-1a, 32 bits. */
function digest(tensor: Tensor): string {
  const values = tensor.toArray();
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

function errorsOf(runtime: Runtime): Record<string, number> {
  const query = random([2, 4, 37, 40], 1);
  const key = random([2, 2, 53, 40], 2);
  const value = random([2, 2, 53, 40], 3);
  const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
  const causal = attention(query, key, value, { causal: true }).output;

  const rotary = new RotaryEmbedding(runtime, { headDim: 40 });
  const cache = new KVCache(runtime, { batch: 2, kvHeads: 2, headDim: 40, maxLength: 64, rotary });
  for (const [start, end] of [
    [0, 20],
    [20, 53],
  ]) {
    const part = ({ shape: [batch, heads, length, dim], data }: typeof key) =>
      runtime.tensor(
        [batch, heads, end - start, dim],
        Array.from({ length: batch * heads }, (_, head) =>
          Array.from(data.subarray((head * length + start) * dim, (head * length + end) * dim)),
        ).flat(),
      );
    cache.append(part(key), part(value));
  }
  const turned = upload(runtime, query);
  rotary.apply(turned, { offset: 53 - 37 });
  const rotated = rotaryEmbedding(query, { offset: 53 - 37 });

  return {
    attention: error(scaledDotProductAttention(q, k, v, { causal: true }), causal),
    rope: error(turned, rotated),
    cache: error(
      scaledDotProductAttention(turned, cache, { causal: true }),
      attention(rotated, rotaryEmbedding(key), value, { causal: true }).output,
    ),
    linear: error(
      linearAttention(q, k, v, { featureMap: 'elu' }),
      linearReference(query, key, value, { featureMap: 'elu' }).output,
    ),
  };
}

/** Decoding over long keys, which are computed in parts, for two batches in one call and in two. */
function splitBatch(runtime: Runtime): { whole: Tensor; parts: Tensor } {
  const arrays = [random([2, 4, 1, 32], 8), random([2, 2, 3000, 32], 9), random([2, 2, 3000, 32], 10)];
  const [q, k, v] = arrays.map((array) => upload(runtime, array));
  const whole = scaledDotProductAttention(q, k, v);
  const parts = runtime.empty(whole.shape);
  for (const b of [0, 1]) {
    const output = parts.slice(b, 1);
    scaledDotProductAttention(q.slice(b, 1), k.slice(b, 1), v.slice(b, 1), { output });
  }
  return { whole, parts };
}

/** What the simd build promises: these bits everywhere. Shapes go through every kernel: many rows, few, one, pages, parts of keys. */
function digestsOf(runtime: Runtime): Record<string, string> {
  const array = (shape: number[], seed: number) => upload(runtime, random(shape, seed));
  const [q, k, v] = [array([1, 8, 300, 64], 1), array([1, 2, 300, 64], 2), array([1, 2, 300, 64], 3)];
  const one = array([1, 8, 1, 64], 4);
  const long = [array([1, 2, 3000, 64], 5), array([1, 2, 3000, 64], 6)] as const;
  const cached = (dtype: 'float16' | 'int8') => {
    const cache = new KVCache(runtime, { kvHeads: 2, headDim: 64, maxLength: 300, dtype });
    cache.append(k, v);
    return scaledDotProductAttention(one, cache);
  };
  const turned = (options: Partial<ConstructorParameters<typeof RotaryEmbedding>[1]>, offset: number) =>
    new RotaryEmbedding(runtime, { headDim: 64, ...options }).apply(array([1, 2, 300, 64], 7), { offset });
  const yarn = { type: 'yarn', factor: 4, originalMaxPosition: 4096 } as const;
  const { whole, parts } = splitBatch(runtime);
  if (digest(whole) !== digest(parts))
    throw new Error('batch: a call for each batch gives other bits than one for all');
  const outputs: Record<string, Tensor> = {
    batch: whole,
    causal: scaledDotProductAttention(q, k, v, { causal: true }),
    window: scaledDotProductAttention(q, k, v, { window: [40, 8], softcap: 20, alibiSlopes: alibiSlopes(8) }),
    decode: scaledDotProductAttention(one, k, v),
    split: scaledDotProductAttention(one, ...long),
    float16: cached('float16'),
    int8: cached('int8'),
    linear: linearAttention(q, k, v, { featureMap: 'elu', causal: true }),
    rope: turned({}, 0),
    'rope far': turned({ base: 500_000, style: 'interleaved' }, 100_000),
    yarn: turned({ scaling: yarn }, 5000),
    sinusoidal: sinusoidalEncoding(runtime, { length: 300, dim: 65 }),
  };
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, digest(tensor)]));
}

/** Two threads where there can be two; otherwise one, and the reason. */
async function runtimeOf(options: RuntimeOptions): Promise<Runtime> {
  try {
    return await createRuntime({ ...options, threads: 2 });
  } catch {
    const runtime = await createRuntime({ ...options, threads: 'auto' });
    // Its workers are refused in the background.
    for (let tries = 0; runtime.threads > 1 && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    return runtime;
  }
}

export async function suite(options: RuntimeOptions = {}): Promise<Result> {
  const began = performance.now();
  const alone = await createRuntime(options);
  const small = alone.tensor(
    [1, 1, 4, 4],
    Array.from({ length: 16 }, (_, i) => i / 16),
  );
  scaledDotProductAttention(small, small, small);
  const first = performance.now() - began;
  alone.dispose();

  const runtime = await runtimeOf(options);
  const { build, threads, threadsReason } = runtime;
  const errors = runtime.scope(() => errorsOf(runtime));
  runtime.dispose();

  // Of one thread and of many: the same, or the test fails here already.
  const single = await createRuntime({ ...options, build: 'simd' });
  const digests = single.scope(() => digestsOf(single));
  single.dispose();
  const many = await runtimeOf({ ...options, build: 'simd' });
  const again = many.scope(() => digestsOf(many));
  many.dispose();
  for (const name in digests)
    if (digests[name] !== again[name]) throw new Error(`${name}: ${many.threads} threads give other bits than one`);
  return { build, threads, threadsReason, first, errors, digests };
}
