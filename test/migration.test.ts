import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import * as api from 'wasm-attention';
import type { NdArray } from 'wasm-attention/reference';
import * as reference from 'wasm-attention/reference';
import { count, random } from './support.ts';

// Each line of docs/migration.md: the code on its right runs, and computes what the left one is defined to. A line that has no case
// here, and a case that has no line there, fail.

const runtime = api.createRuntimeSync();
afterAll(() => runtime.dispose());

const [batch, heads, queries, keys, headDim] = [2, 4, 5, 9, 8];
const arrays = {
  q: random([batch, heads, queries, headDim], 1),
  k: random([batch, heads, keys, headDim], 2),
  v: random([batch, heads, keys, headDim], 3),
};
const slopes = [0.5, 0.25, 0.125, 0.0625];
const lengths = [6, 9];
const E = heads * headDim;

/** [a, b, c, d] → [a, c, b, d] */
function swapped({ shape: [a, b, c, d], data }: NdArray): NdArray {
  const at = (i: number) => {
    const [x, y, z, w] = [Math.floor(i / (b * c * d)), Math.floor(i / (b * d)) % c, Math.floor(i / d) % b, i % d];
    return data[((x * b + z) * c + y) * d + w];
  };
  return { shape: [a, c, b, d], data: Float64Array.from({ length: data.length }, (_, i) => at(i)) };
}

/** Heads `0 … heads/2 − 1`, each twice: what fewer heads of keys and values stand for. */
function repeated({ shape: [b, h, n, d], data }: NdArray): NdArray {
  const head = n * d;
  const of = (i: number) =>
    Math.floor(i / (2 * h * head)) * h * head + Math.floor((i % (2 * h * head)) / head / 2) * head;
  return {
    shape: [b, 2 * h, n, d],
    data: Float64Array.from({ length: 2 * data.length }, (_, i) => data[of(i) + (i % head)]),
  };
}

const tensor = (shape: readonly number[], data: ArrayLike<number>) => runtime.tensor(shape, data);
const upload = ({ shape, data }: NdArray) => tensor(shape, data);
const few = { k: random([batch, 2, keys, headDim], 4), v: random([batch, 2, keys, headDim], 5) };
const visible = random([batch, 1, queries, keys], 6).data.map((x, at) => Number(x > 0 || at % keys === 0));
const added = random([1, heads, queries, keys], 7);
const padding = lengths.flatMap((length) => Array.from({ length: keys }, (_, j) => Number(j < length)));

/** What the code of the page calls by name. */
const given = {
  ...api,
  ...{ runtime, tensor, batch, heads, queries, keys, headDim, E, h: heads },
  ...{ s: 0.3, c: 1.5, l: 2, r: 1, w: 3, alibiSlopes: slopes, sink: [0.1, -1, 2, 0], keyLengths: lengths },
  ...{ kvHeads: heads, maxLength: 16, offset: 3, cuSeqlens: [0, 3, keys], paddingMask: padding },
};

function evaluate(code: string, more: object = {}): unknown {
  const names = { ...given, ...more };
  return new Function(...Object.keys(names), `return (${code});`)(...Object.values(names));
}

function expectClose({ data }: NdArray, expected: NdArray): void {
  const errors = Array.from(expected.data, (x, i) => (x === data[i] ? 0 : Math.abs(x - data[i])));
  expect(data.length).toBe(expected.data.length);
  // Values are below 2, rows short. NaN is not close.
  expect(Math.max(...errors)).toBeLessThanOrEqual(2e-6);
}

const { q, k, v } = arrays;
const attention = (options: reference.AttentionOptions, key: NdArray = k, value: NdArray = v) =>
  reference.attention(q, key, value, options).output;
const causal = (_b: number, _h: number, i: number, j: number) => j <= i + keys - queries;

type Case = (codes: string[]) => void;
type Layout = 'bhsd' | 'bshd';
const lay = (layout: Layout, array: NdArray) => upload(layout === 'bhsd' ? array : swapped(array));
const back = (layout: Layout, result: NdArray) => (layout === 'bhsd' ? result : swapped(result));

/** The options of a line give this. */
const options =
  (layout: Layout) =>
  (expected: reference.AttentionOptions, more: object = {}): Case =>
  ([code]) => {
    const asked = evaluate(code, more) as api.AttentionOptions;
    expect(asked.layout ?? 'bhsd').toBe(layout);
    const [query, key, value] = [q, k, v].map((array) => lay(layout, array));
    expectClose(back(layout, api.scaledDotProductAttention(query, key, value, asked)), attention(expected));
  };

/** The call of a line, on q, k and v, gives this. */
const call =
  (layout: Layout): Case =>
  ([code]) => {
    const laid = { q: lay(layout, q), k: lay(layout, k), v: lay(layout, v) };
    expectClose(back(layout, evaluate(code, laid) as api.Tensor), attention({}));
  };

const fewerHeads =
  (layout: Layout, asked: api.AttentionOptions, expected: reference.AttentionOptions): Case =>
  () => {
    const [query, key, value] = [q, few.k, few.v].map((array) => lay(layout, array));
    const output = api.scaledDotProductAttention(query, key, value, { layout, ...asked });
    expectClose(back(layout, output), attention(expected, repeated(few.k), repeated(few.v)));
  };

const emptyRow: Case = () => {
  const mask = runtime.tensor(
    [queries, keys],
    Array.from({ length: queries * keys }, (_, at) => at >= keys),
    'boolean',
  );
  const { output, lse } = api.attentionState(upload(q), upload(k), upload(v), { mask });
  const first = (array: ArrayLike<number>, size: number) => Array.from(array).slice(0, size);
  expect(first(output.data, headDim)).toEqual(new Array(headDim).fill(0));
  expect(lse.data[0]).toBe(-Infinity);
};

/** Half of the tokens are in the cache; the line appends the others and attends. */
function cached(make: () => api.KVCache, [append, attend]: string[]): void {
  const cache = make();
  const part = (array: NdArray, from: number, to: number) => {
    const { shape, data } = swapped(array);
    const row = heads * headDim;
    const rows = Array.from({ length: batch }, (_, b) =>
      Array.from(data).slice((b * keys + from) * row, (b * keys + to) * row),
    );
    return tensor([shape[0], to - from, heads, headDim], rows.flat());
  };
  const before = keys - queries;
  cache.append(part(k, 0, before), part(v, 0, before), { layout: 'bshd' });
  evaluate(append, { cache, k: part(k, before, keys), v: part(v, before, keys) });
  const output = evaluate(attend, { cache, q: lay('bshd', q) }) as api.Tensor;
  expectClose(swapped(output), attention({ mask: causal }));
  cache.dispose();
}

const plainCache = () => new api.KVCache(runtime, { batch, kvHeads: heads, headDim, maxLength: 16 });
const [append, attend] = [
  "cache.append(k, v, { layout: 'bshd' })",
  "scaledDotProductAttention(q, cache, { layout: 'bshd', causal: true })",
];
const makesCache: Case = ([code]) => cached(() => evaluate(code) as api.KVCache, [append, attend]);

const state = {
  in_proj_weight: random([3 * E, E], 20, 0.2),
  in_proj_bias: random([3 * E], 21, 0.2),
  'out_proj.weight': random([E, E], 22, 0.2),
  'out_proj.bias': random([E], 23, 0.2),
};
const layer = new api.MultiHeadAttention(runtime, { embedDim: E, heads }).load(state);
const tokens = { q: random([batch, queries, E], 8), k: random([batch, keys, E], 9), v: random([batch, keys, E], 10) };
const expectedLayer = (asked: reference.MultiHeadOptions) =>
  reference.multiHeadAttention(tokens.q, tokens.k, tokens.v, heads, state, asked);

/** The last options of a line, with as many queries as keys. */
const square =
  (layout: Layout): Case =>
  (codes) => {
    const [key, value] = [k, v].map((array) => lay(layout, array));
    const output = api.scaledDotProductAttention(key, key, value, evaluate(codes.at(-1)!) as api.AttentionOptions);
    expectClose(back(layout, output), reference.attention(k, k, v, { mask: (_b, _h, i, j) => j <= i }).output);
  };

const torch = options('bhsd');
const flash = options('bshd');
const onPairs = (change: (i: number, j: number, h: number) => number): NdArray => {
  const shape = [1, heads, queries, keys];
  const at = (n: number) => change(Math.floor(n / keys) % queries, n % keys, Math.floor(n / (queries * keys)));
  return { shape, data: Float64Array.from({ length: count(shape) }, (_, n) => at(n)) };
};
const rotated = (style: 'half' | 'interleaved'): Case => {
  return ([made, applied = "rotary.apply(q, { layout: 'bshd', offset })"]) => {
    const rotary = evaluate(made) as api.RotaryEmbedding;
    const code = applied.startsWith('rotary') ? applied : "rotary.apply(q, { layout: 'bshd', offset })";
    const turned = evaluate(code, { rotary, q: lay('bshd', q) }) as api.Tensor;
    expectClose(swapped(turned), reference.rotaryEmbedding(q, { style, offset: 3 }));
  };
};

/** By the beginning of a line's left side. */
const cases: Record<string, [string, Case][]> = {
  'PyTorch, `torch.nn.functional.scaled_dot_product_attention`': [
    ['`scaled_dot_product_attention(q, k, v)`', call('bhsd')],
    [
      '`is_causal=True`, top-left',
      (codes) => {
        torch({ mask: (_b, _h, i, j) => j <= i })(codes);
        square('bhsd')(codes);
      },
    ],
    ['`causal_lower_right', torch({ mask: causal })],
    [
      '`attn_mask` boolean',
      torch(
        { mask: { shape: [batch, 1, queries, keys], data: visible } },
        { shape: [batch, 1, queries, keys], data: visible },
      ),
    ],
    ['`attn_mask` float', torch({ bias: added }, added)],
    ['`scale=s`', torch({ scale: 0.3 })],
    ['`enable_gqa=True`', fewerHeads('bhsd', {}, {})],
    ['`dropout_p`', () => {}],
    ['a row that sees nothing', emptyRow],
    [
      '`nn.MultiheadAttention(E, h)`',
      ([code]) => expect((evaluate(code) as api.MultiHeadAttention).shapes).toEqual(layer.shapes),
    ],
    [
      '`mha(q, k, v, need_weights=False)`',
      ([code]) => {
        const { output } = evaluate(code, { mha: layer, ...uploaded(tokens) }) as { output: api.Tensor };
        expectClose(output, expectedLayer({}).output);
      },
    ],
    [
      '`mha(q, k, v)`',
      ([code]) => {
        const result = evaluate(code, { mha: layer, ...uploaded(tokens) }) as {
          output: api.Tensor;
          weights: api.Tensor;
        };
        expectClose(result.output, expectedLayer({}).output);
        expectClose(result.weights, expectedLayer({}).weights);
      },
    ],
    ['`average_attn_weights=False`', ([code]) => forward(code, {}, { averageWeights: false })],
    [
      '`key_padding_mask`, `attn_mask`',
      ([code]) => {
        const ignored = { shape: [batch, keys], data: padding.map((real) => 1 - real) };
        const bias = { shape: [queries, keys], data: added.data.slice(0, queries * keys) };
        const keyPaddingMask = runtime.tensor(ignored.shape, ignored.data, 'boolean');
        forward(code, { keyPaddingMask, attnMask: upload(bias) }, { keyPaddingMask: ignored, attnMask: bias });
      },
    ],
    ['`is_causal=True` with its', ([code]) => forward(code, {}, { isCausal: true })],
  ],
  'flash-attn': [
    ['`flash_attn_func(q, k, v)`', call('bshd')],
    ['`causal=True`', flash({ mask: causal })],
    ['`softmax_scale=s`', flash({ scale: 0.3 })],
    [
      '`window_size=(l, r)`',
      flash({ mask: (_b, _h, i, j) => Math.abs(i + keys - queries - j + 0.5) <= 2.5 && j <= i + keys - queries + 1 }),
    ],
    ['`softcap=c`', flash({ softcap: 1.5 })],
    ['`alibi_slopes`', flash({ bias: onPairs((i, j, h) => -slopes[h] * Math.abs(i + keys - queries - j)) })],
    ['`learnable_sink`', flash({ sink: given.sink })],
    [
      '`return_attn_probs=True`',
      ([code]) => {
        const laid = { q: lay('bshd', q), k: lay('bshd', k), v: lay('bshd', v) };
        const { output, lse } = evaluate(code, laid) as api.AttentionState;
        const expected = reference.attention(q, k, v);
        expectClose(swapped(output), expected.output);
        expectClose(lse, expected.lse);
      },
    ],
    [
      '`flash_attn_varlen_func',
      ([code]) => {
        const x = lay('bshd', k);
        const output = api.scaledDotProductAttention(x, x, lay('bshd', v), evaluate(code) as api.AttentionOptions);
        const expected = reference.attention(k, k, v, { mask: (_b, _h, i, j) => i < 3 === j < 3 }).output;
        expectClose(swapped(output), expected);
      },
    ],
    ['`flash_attn_with_kvcache', (codes) => cached(plainCache, codes)],
    ['`rotary_cos`, `rotary_sin`', rotated('interleaved')],
    ['`block_table`', makesCache],
    ['a row that sees nothing', emptyRow],
    [
      "FlashMLA's `head_dim_v=w`",
      ([code, cache]) => {
        const output = evaluate(code, { q: lay('bshd', q), k: lay('bshd', k) }) as api.Tensor;
        const values = { shape: [batch, heads, keys, 3], data: k.data.filter((_, at) => at % headDim < 3) };
        expectClose(swapped(output), attention({}, k, values));
        const stored = evaluate(cache) as api.KVCache;
        expect(stored.valueDim).toBe(512);
        stored.dispose();
      },
    ],
  ],
  'onnxruntime-web': [
    ['`num_heads`', () => {}],
    ['`scale`', flash({ scale: 0.3 })],
    ['`unidirectional: 1`, as many', square('bshd')],
    ['`unidirectional: 1` otherwise', flash({ mask: (_b, _h, i, j) => j <= i })],
    ['`attention_bias`', flash({ bias: added }, { bias: upload(added) })],
    ['`key_padding_mask` int32 [batch]:', flash({ mask: (b, _h, _i, j) => j < lengths[b] })],
    ['`key_padding_mask` int32 [batch, keys]', flash({ mask: (b, _h, _i, j) => j < lengths[b] })],
    [
      '`bias` of the three',
      ([code]) => {
        const [x, weight, bias] = [random([queries, E], 11), random([E, E], 12), random([E], 13)];
        const output = evaluate(code, uploaded({ x, weight, bias })) as api.Tensor;
        const expected = reference.linear(x, weight, bias);
        expect(Math.max(...output.data.map((y, i) => Math.abs(y - expected.data[i])))).toBeLessThanOrEqual(1e-4);
      },
    ],
    ['`past_key`, `past_value`', makesCache],
    [
      '`GroupQueryAttention`',
      ([code]) => fewerHeads('bshd', evaluate(code) as api.AttentionOptions, { mask: causal })([]),
    ],
    ['its `seqlens_k`', flash({ mask: (b, _h, i, j) => j <= lengths[b] - queries + i })],
    ['its `local_window_size: w`', flash({ mask: (b, h, i, j) => causal(b, h, i, j) && j > i + keys - queries - 3 })],
    ['its `softcap: c`', flash({ mask: causal, softcap: 1.5 })],
    ['its `smooth_softmax: 1`', flash({ mask: causal, sink: [0, 0, 0, 0] })],
    ['its `head_sink`', flash({ mask: causal, sink: given.sink })],
    ['its `do_rotary: 1`', rotated('half')],
  ],
};

function uploaded(of: Record<string, NdArray>): Record<string, api.Tensor> {
  return Object.fromEntries(Object.entries(of).map(([name, array]) => [name, upload(array)]));
}

function forward(code: string, more: object, expected: reference.MultiHeadOptions): void {
  const { q: query, k: key, v: value } = uploaded(tokens);
  const asked = { needWeights: true, ...(evaluate(code, more) as api.MultiHeadForwardOptions) };
  const { output, weights } = layer.forward(query, key, value, asked);
  expectClose(output, expectedLayer(expected).output);
  expectClose(weights!, expectedLayer(expected).weights);
}

const page = readFileSync(new URL('../docs/migration.md', import.meta.url), 'utf8');
const sections = page.split(/^## /m).slice(1);
const linesOf = (section: string) =>
  section
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells.length === 4 && !cells[1].startsWith('---') && cells[2] !== 'wasm-attention');
const codesIn = (cell: string) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, code]) => code);

describe.each(sections.map((section) => [section.split('\n', 1)[0], section]))('%s', (title, section) => {
  const lines = linesOf(section);

  it('has a case for every line, and a line for every case', () => {
    expect(lines.length).toBe(cases[title].length);
    lines.forEach(([, left], at) => {
      expect(left.startsWith(cases[title][at][0]), `${left} is not ${cases[title][at][0]}`).toBe(true);
    });
  });

  it.each(cases[title].map(([line, run], at) => [line, run, at] as const))('%s', (_, run, at) => {
    runtime.scope(() => run(codesIn(lines[at][2])));
  });
});

it('the calls of before and after are the same', () => {
  const after = /```js\n\/\/ after[^\n]*\n([\s\S]*?)```/.exec(page)![1];
  const laid = [q, k, v].map((array) => Float32Array.from(swapped(array).data));
  const names = { ...given, queryData: laid[0], keyData: laid[1], valueData: laid[2] };
  const body = after.trim().replace(/output\.data;$/, 'return output;');
  const output = new Function(...Object.keys(names), body)(...Object.values(names)) as api.Tensor;
  expectClose(swapped(output), attention({}));
});
