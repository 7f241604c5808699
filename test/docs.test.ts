import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import * as api from 'wasm-attention';
import { Layer } from '../src/layers/layer.ts';
import { count, random } from './support.ts';

// Every @example of a docstring, and every program of the README, runs on the data that this table gives it. One without data here fails.

const runtime = api.createRuntimeSync();
afterAll(() => runtime.dispose());

const tensor = (...shape: number[]) => runtime.tensor(shape, random(shape, 1).data);
const visible = (...shape: number[]) => runtime.tensor(shape, new Uint8Array(count(shape)).fill(1), 'boolean');
const heads = (n: number, dim: number, queryHeads = 4, kvHeads = 2) => ({
  query: tensor(1, queryHeads, n, dim),
  key: tensor(1, kvHeads, n, dim),
  value: tensor(1, kvHeads, n, dim),
});
const cache = (batch: number) => new api.KVCache(runtime, { batch, kvHeads: 2, headDim: 8, maxLength: 32 });
const filled = (batch: number) => cache(batch).append(tensor(batch, 2, 9, 8), tensor(batch, 2, 9, 8));
const positions = (n: number) => Array.from({ length: n }, (_, i) => i);
const stateDict = {};

const latent = () => {
  const options = { hiddenDim: 16, heads: 2, latentDim: 8, nopeDim: 8, ropeDim: 4, valueDim: 8 };
  const attention = new api.MultiHeadLatentAttention(runtime, options).load(stateDict);
  return { attention, prompt: tensor(1, 10, 16), token: tensor(1, 1, 16), kept: tensor(1, 11, 12) };
};

/** By file and the first word that tells an example from the others of its file. */
const data: Record<string, () => Record<string, unknown>> = {
  'attention/scaledDotProduct.ts: const output = scaledDotProductAttention': () => heads(20, 8),
  'attention/async.ts: const controller': () => heads(20, 8),
  'attention/masks/longformer.ts: const mask': () => heads(20, 8),
  'attention/masks/bigBird.ts: const mask': () => heads(24, 8),
  'attention/modify.ts: const scoreMod': () => heads(20, 8),
  'attention/linearAttention.ts: const output = linearAttention': () => heads(20, 8),
  'attention/linearAttention.ts: let { output, state }': () => {
    const [q, k, v] = Object.values(heads(1, 8));
    return { ...heads(20, 8), q, k, v };
  },
  'attention/featureMaps.ts: const featureMap': () => heads(20, 64),
  'attention/cache.ts: const cache': () => heads(20, 128, 32, 8),
  'attention/cache.ts: cache.append': () => ({ cache: cache(2), key: tensor(2, 2, 3, 8), value: tensor(2, 2, 3, 8) }),
  'attention/cache.ts: cache.truncate': () => ({ cache: filled(2), rejected: 2 }),
  'attention/cache.ts: for (let beam': () => ({ cache: filled(3) }),
  'layers/latent.ts: const cache': latent,
  'layers/latent.ts: const latents': latent,
  'layers/gated.ts: const attention': () => ({ x: tensor(2, 9, 256), mask: visible(2, 9), bias: tensor(1, 8, 9, 9) }),
  'layers/differential.ts: const attention': () => ({ x: tensor(1, 9, 512) }),
  'layers/crossAttention.ts: const norm': () => ({ pixels: tensor(1, 64, 512) }),
  'layers/crossAttention.ts: const attention': () => ({ tokens: tensor(1, 16, 320), prompt: tensor(1, 7, 768) }),
  'layers/longformer.ts: const attention': () => ({ hidden: tensor(1, 9, 768) }),
  'layers/multiHead.ts: const attention': () => ({ x: tensor(1, 9, 512) }),
  'layers/msa.ts: const row': () => ({ msa: tensor(3, 9, 256), pair: tensor(9, 9, 128), mask: visible(3, 9) }),
  'layers/msa.ts: const column': () => ({ msa: tensor(3, 9, 256), mask: visible(3, 9) }),
  'layers/triangle.ts: const ending': () => ({ pair: tensor(7, 7, 128), mask: visible(7, 7) }),
  'layers/patchEmbedding.ts: const embedding': () => ({ images: tensor(1, 3, 224, 224) }),
  'position/rope.ts: new RotaryEmbedding': () => heads(9, 64),
  'position/rope.ts: const rotary': () => ({
    ...heads(9, 128),
    times: positions(9),
    rows: positions(9),
    columns: positions(9),
  }),
  'position/rope.ts: const axes': () => ({ ...heads(9, 64), rows: positions(9), columns: positions(9) }),
  'position/mixedRope.ts: const rotary': () => ({
    query: tensor(1, 6, 9, 64),
    frequencies: random([2, 6, 32], 1).data,
    rows: positions(9),
    columns: positions(9),
  }),
  'position/relative.ts: const bias': () => ({ table: tensor(32, 4), ...heads(512, 8) }),
  'README.md: import': () => {
    const [queryData, keyData, valueData] = [1, 2, 3].map((seed) => random([16 * 512 * 64], seed).data);
    return { queryData, keyData, valueData };
  },
  'README.md: const result = runtime.scope': () => {
    const { query, key, value } = heads(20, 8);
    return { x: query, k: key, v: value, wq: tensor(8, 8) };
  },
  'README.md: const rotary': () => ({ ...heads(20, 128, 32, 8), queries: 20 }),
  'safetensors.ts: const layer': () => ({ readFile: async () => emptySafetensors() }),
};

/** A file without tensors; what `load` gets is replaced anyway. */
function emptySafetensors(): Uint8Array {
  const header = new TextEncoder().encode('{}');
  return new Uint8Array([header.length, 0, 0, 0, 0, 0, 0, 0, ...header]);
}

/** Weights of the right shapes, for whatever an example calls its own. */
const { load } = Layer.prototype;
vi.spyOn(Layer.prototype, 'load').mockImplementation(function loadRandom(this: Layer) {
  const state = Object.entries(this.shapes).map(([name, shape]) => [name, random(shape, 2, 0.1).data]);
  return load.call(this, Object.fromEntries(state));
});

type Example = { name: string; code: string };

function examples(): Example[] {
  const root = new URL('../src/', import.meta.url);
  const files = readdirSync(fileURLToPath(root), { recursive: true, encoding: 'utf8' }).filter((f) =>
    f.endsWith('.ts'),
  );
  return files.flatMap((file) => {
    const source = readFileSync(new URL(file, root), 'utf8');
    const blocks = source.match(/\/\*\*[\s\S]*?\*\//g) ?? [];
    return blocks.flatMap((block) =>
      block
        .split('@example')
        .slice(1)
        .map((part) => part.split(/\n\s*\* @/)[0])
        .map((part) => ({ name: file, code: part.replace(/^\s*\*[ /]?/gm, '').trim() })),
    );
  });
}

function programs(): Example[] {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  return Array.from(readme.matchAll(/```ts\n([\s\S]*?)```/g), ([, code]) => ({ name: 'README.md', code }));
}

describe('examples of docstrings and README', () => {
  it.each([...examples(), ...programs()])('$name: $code', async ({ name, code }) => {
    const entry = Object.keys(data).find((key) => `${name}: ${code}`.startsWith(key));
    expect(entry, 'data for this example').toBeDefined();
    const given: Record<string, unknown> = { ...api, runtime, stateDict, weights: stateDict, ...data[entry!]() };
    // What an example imports is given, and what it declares is its own.
    for (const [, name] of code.matchAll(/^const (\w+)/gm)) delete given[name];
    const body = code.replace(/^import .*$/gm, '');
    const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
    await new AsyncFunction(...Object.keys(given), body)(...Object.values(given));
  });
});
