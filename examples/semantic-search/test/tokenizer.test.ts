import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@tensorflow-models/universal-sentence-encoder';
import { expect, it } from 'vitest';
import { shippedCorpus } from '../src/input.ts';
import { createTokenizer } from '../src/tokenizer.ts';
import { modelFolder } from '../src/weights.ts';

const vocabulary: [string, number][] = JSON.parse(readFileSync(join(modelFolder, 'vocab.json'), 'utf8'));
const tokenize = createTokenizer();
const reference = new Tokenizer(vocabulary);
const encode = (text: string) => tokenize(text).ids;

it('gives the ids of the reference tokenizer for every shipped sentence', () => {
  for (const [sentence] of shippedCorpus()) expect(encode(sentence), sentence).toEqual(reference.encode(sentence));
});

it.each([
  '',
  'a',
  "don't 123,456.78 ALL CAPS!!!???",
  'naïve café — “quotes” … ½ ﬁne',
  'emoji 😀😀 and 日本語 text',
  '𝕏 and Ωmega, é',
  '<s> hello </s> extra_token_id_1 �',
])('gives the ids of the reference tokenizer for %j', (text) => {
  expect(encode(text)).toEqual(reference.encode(text));
});

it('gives the ids of the reference tokenizer for random sequences of pieces', () => {
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 1000; round++) {
    const pieces = Array.from({ length: 8 }, () => vocabulary[6 + random(vocabulary.length - 6)][0]);
    const text = pieces.join('').replaceAll('▁', ' ').trim().replace(/ +/g, ' ');
    expect(encode(text), text).toEqual(reference.encode(text));
  }
});

it('reads white space as one space, and none at the ends', () => {
  expect(encode('  two\t spaces\n')).toEqual(reference.encode('two spaces'));
});
