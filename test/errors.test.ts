import { describe } from 'vitest';
import { attentionState, attentionWeights, masks, scaledDotProductAttention } from 'wasm-attention';
import {
  booleans,
  disposed,
  foreign,
  integers,
  key,
  type Loose,
  notTensors,
  ofOther,
  output,
  query,
  type Row,
  refuses,
  runtime,
  value,
} from './refused.ts';

describe.each<[string, (q: Loose, k: Loose, v: Loose, options?: Loose) => unknown]>([
  ['scaledDotProductAttention', (q, k, v, options) => scaledDotProductAttention(q, k, v, given(options))],
  ['attentionState', (q, k, v, options) => attentionState(q, k, v, given(options))],
  ['attentionWeights', (q, k, _v, options) => attentionWeights(q, k, options)],
])('%s', (name, call) => {
  const weights = name === 'attentionWeights';
  const shapes: [string, number[], number[], number[], RegExp][] = [
    ['rank 3', [2, 3, 4], [1, 2, 5, 4], [1, 2, 5, 6], /"query" has rank 3 \(shape \[2,3,4\]\), but rank 4 is needed/],
    ['rank 5 of key', [1, 2, 3, 4], [1, 1, 2, 5, 4], [1, 2, 5, 6], /"key" has rank 5/],
    ['headDim 0', [1, 2, 3, 0], [1, 2, 5, 0], [1, 2, 5, 6], /"query" has headDim 0, but at least 1/],
    [
      'headDim that differs',
      [1, 2, 3, 4],
      [1, 2, 5, 3],
      [1, 2, 5, 6],
      /"key" has headDim 3, but "query" has headDim 4/,
    ],
    ['batch that differs', [1, 2, 3, 4], [2, 2, 5, 4], [1, 2, 5, 6], /"key" has batch 2, but "query" has batch 1/],
    [
      'heads 3 over kvHeads 2',
      [1, 3, 3, 4],
      [1, 2, 5, 4],
      [1, 2, 5, 6],
      /has 3 heads, which is not a multiple of kvHeads 2/,
    ],
    ['heads 2 over kvHeads 4', [1, 2, 3, 4], [1, 4, 5, 4], [1, 4, 5, 6], /not a multiple of kvHeads 4/],
    ['kvHeads 0', [1, 2, 3, 4], [1, 0, 5, 4], [1, 0, 5, 6], /not a multiple of kvHeads 0/],
  ];
  if (!weights) {
    shapes.push(
      ['batch of value', [1, 2, 3, 4], [1, 2, 5, 4], [2, 2, 5, 6], /"value" has batch 2, but "query" has batch 1/],
      ['heads of value', [1, 2, 3, 4], [1, 2, 5, 4], [1, 1, 5, 6], /"value" has 1 heads, but "key" has 2/],
      ['length of value', [1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 4, 6], /"value" has length 4, but "key" has length 5/],
      ['valueDim 65537', [1, 1, 1, 4], [1, 1, 1, 4], [1, 1, 1, 65537], /"value" has headDim 65537, but at most/],
      ['valueDim 0', [1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 5, 0], /"value" has headDim 0/],
    );
  }
  refuses(
    shapes.map(([label, ...sizes]) => {
      const [q, k, v] = (sizes.slice(0, 3) as number[][]).map((shape) => runtime.zeros(shape));
      return [label, () => call(q, k, v), RangeError, sizes[3] as RegExp];
    }),
  );
  refuses([
    ...notTensors((tensor) => call(tensor, key, value), 'query'),
    ...notTensors((tensor) => call(query, tensor, value), 'key'),
    ...(weights ? [] : notTensors((tensor) => call(query, key, tensor ?? null), 'value').slice(1)),
    ofOther((tensor) => call(query, tensor, value), 'key'),
  ]);

  const option = (options: object) => () => call(query, key, value, options);
  const small = runtime.zeros([3, 4]);
  refuses([
    ['isCausal', option({ isCausal: true }), TypeError, /unknown option "isCausal"; there are scale, causal, /],
    ['softCap', option({ softCap: 3 }), TypeError, /unknown option "softCap"/],
    ['options null', option(null as Loose), TypeError, /./],
    ...[Number.NaN, Infinity, -Infinity].map(
      (scale): Row => [`scale ${scale}`, option({ scale }), RangeError, /"scale" is .*, not a finite number/],
    ),
    ['scale text', option({ scale: '1' }), TypeError, /"scale" must be a number, but it is '1'/],
    ...[0, -1, Number.NaN, Infinity, 1e-40, 1e40].map(
      (softcap): Row => [`softcap ${softcap}`, option({ softcap }), RangeError, /"softcap" is/],
    ),
    ['layout', option({ layout: 'sbhd' }), TypeError, /"layout" must be 'bhsd' or 'bshd'/],
    ['causalAlignment', option({ causalAlignment: 'left' }), TypeError, /"causalAlignment" must be/],
    ['queryOffset 0.5', option({ queryOffset: 0.5 }), RangeError, /"queryOffset" is 0.5, not an integer/],
    ['queryOffset of 2', option({ queryOffset: [1, 2] }), RangeError, /"queryOffset" must be .* one per batch \(1\)/],
    ['queryOffset NaN', option({ queryOffset: [Number.NaN] }), RangeError, /"queryOffset\[0\]" is NaN/],
    ['queryOffset 2⁴⁰', option({ queryOffset: 2 ** 40 }), RangeError, /"queryOffset" is 1099511627776/],
    ['window number', option({ window: 3 }), TypeError, /"window" must be a pair/],
    ['window of 1', option({ window: [1] }), TypeError, /"window" must be a pair/],
    ['window −1', option({ window: [-1, 0] }), RangeError, /"left" is -1/],
    ['window NaN', option({ window: [0, Number.NaN] }), RangeError, /"right" is NaN/],
    ['keyLengths number', option({ keyLengths: 3 }), RangeError, /"keyLengths" must be one length per batch \(1\)/],
    ['keyLengths 0', option({ keyLengths: 0 }), RangeError, /"keyLengths" must be one length per batch \(1\)/],
    ['keyLengths of 2', option({ keyLengths: [1, 2] }), RangeError, /"keyLengths" must be one length per batch/],
    ['keyLengths too long', option({ keyLengths: [6] }), RangeError, /"keyLengths\[0\]" is 6, but there are 5 keys/],
    ['keyLengths −1', option({ keyLengths: [-1] }), RangeError, /"keyLengths\[0\]" is -1/],
    ['alibiSlopes of 1', option({ alibiSlopes: [1] }), RangeError, /"alibiSlopes" must be .* per query head \(2\)/],
    ['alibiSlopes NaN', option({ alibiSlopes: [1, Number.NaN] }), RangeError, /"alibiSlopes\[1\]" is NaN/],
    ['sink of 3', option({ sink: [1, 2, 3] }), RangeError, /"sink" must be one number per query head/],
    ['sink Infinity', option({ sink: [Infinity, 0] }), RangeError, /"sink\[0\]" is Infinity/],
    ['sink beyond float32', option({ sink: [1e39, 0] }), RangeError, /"sink\[0\]" is 1e\+39, too large/],
    ['mask array', option({ mask: [true] }), TypeError, /"mask" must be an AttentionMask or a Tensor/],
    ['mask int32', option({ mask: integers }), TypeError, /"mask" has dtype int32/],
    [
      'mask that does not broadcast',
      option({ mask: booleans }),
      RangeError,
      /"mask" .* does not broadcast to \[1,2,3,5\]/,
    ],
    ['float mask', option({ mask: small }), RangeError, /"mask" has shape \[3,4\], which does not broadcast/],
    ['mask disposed', option({ mask: disposed }), Error, /"mask" was disposed/],
    ['mask of keyLengths', option({ mask: masks.keyLengths([9]) }), RangeError, /"keyLengths\[0\]" is 9/],
    ['mask that throws', option({ mask: masks.fromPredicate(boom) }), Error, /boom/],
    ['maskMod', option({ maskMod: true }), TypeError, /"maskMod" must be a function, but it is true/],
    ['maskMod that throws', option({ maskMod: () => boom() }), Error, /boom/],
    ['bias shape', option({ bias: small }), RangeError, /"bias" has shape \[3,4\], which does not broadcast/],
    ['bias rank 5', option({ bias: runtime.zeros([1, 1, 1, 1, 5]) }), RangeError, /"bias" .* does not broadcast/],
    ['bias boolean', option({ bias: booleans }), TypeError, /"bias" has dtype boolean/],
    ['bias foreign', option({ bias: foreign }), Error, /"bias" belongs to another runtime/],
  ]);
  if (weights) {
    refuses([
      ['output', option({ output }), TypeError, /"output" is not an option/],
      ['scoreMod', option({ scoreMod: () => {} }), TypeError, /"scoreMod" is not an option/],
      ['valueDim', option({ valueDim: 2 }), TypeError, /"valueDim" is not an option/],
      ['stage', option({ stage: 'softmax' }), TypeError, /"stage" must be 'scores',/],
    ]);
  } else {
    refuses([
      ['scoreMod', option({ scoreMod: 'relu' }), TypeError, /"scoreMod" must be a function, but it is 'relu'/],
      ['probMod', option({ probMod: null }), TypeError, /"probMod" must be a function, but it is null/],
      ...[0, -1, 1.5, Number.NaN, '2', null].map(
        (valueDim): Row => [
          `valueDim ${valueDim}`,
          option({ valueDim }),
          RangeError,
          /"valueDim" is .*, not an integer ≥ 1/,
        ],
      ),
      ['valueDim 7', option({ valueDim: 7 }), RangeError, /"valueDim" is 7, but a value has 6 columns/],
      [
        'output of a valueDim',
        option({ valueDim: 5 }),
        RangeError,
        /"output" has shape \[1,2,3,6\], but \[1,2,3,5\] is/,
      ],
      ['scoreMod that throws', option({ scoreMod: boom, output: undefined }), Error, /boom/],
    ]);
    const into = (tensor: Loose) => call(query, key, value, { output: tensor });
    refuses([
      ...notTensors(into, 'output').slice(1),
      ofOther(into, 'output'),
      ['output shape', () => into(small), RangeError, /"output" has shape \[3,4\], but \[1,2,3,6\] is needed/],
      [
        'output over value',
        () => into(value.view([60]).slice(4, 36).view([1, 2, 3, 6])),
        RangeError,
        /overlaps an input/,
      ],
    ]);
  }
});

/** With `output` unless a row has its own. */
function given(options: Loose): Loose {
  return options === null ? null : { output, ...options };
}

function boom(): boolean {
  throw new Error('boom');
}

describe('masks', () => {
  refuses([
    ['slidingWindow −1', () => masks.slidingWindow(-1, 0), RangeError, /slidingWindow: "left" is -1/],
    ['slidingWindow 0.5', () => masks.slidingWindow(0, 0.5), RangeError, /slidingWindow: "right" is 0.5/],
    ['fromPredicate', () => masks.fromPredicate(1 as Loose), TypeError, /"visible" must be a function/],
    ['and', () => masks.causal().and(true as Loose), TypeError, /"other" must be an AttentionMask/],
    ['or', () => masks.causal().or(undefined as Loose), TypeError, /"other" must be an AttentionMask/],
    ['tensor', () => masks.tensor(query as Loose), TypeError, /"mask" has dtype float32, but boolean/],
    ['tensor disposed', () => masks.tensor(disposed as Loose), Error, /"mask" was disposed/],
    ['tensor undefined', () => masks.tensor(undefined as Loose), TypeError, /"mask" must be a Tensor/],
  ]);
});
