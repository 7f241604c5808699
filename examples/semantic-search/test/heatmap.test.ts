import { DOMParser, type Element } from '@xmldom/xmldom';
import { describe, expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { attentionMap, largest } from '../src/attention.ts';
import { SentenceEncoder } from '../src/encoder.ts';
import { heatmapSvg } from '../src/svg.ts';
import { heatmapText } from '../src/terminal.ts';
import { createTokenizer } from '../src/tokenizer.ts';
import { loadWeights, modelFolder } from '../src/weights.ts';

const tokenize = createTokenizer();
const encoder = new SentenceEncoder(createRuntimeSync({ build: 'simd' }), loadWeights(modelFolder));
const sentence = 'Is a < b & "c" > d?\u0007';
const map = attentionMap(encoder, tokenize, sentence, { layer: 2, head: 3 });
const tokens = tokenize(sentence).tokens;

it('has one row a token, and every row sums to 1', () => {
  expect(map.tokens).toEqual(tokens);
  for (const row of map.weights) expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
});

it('is the mean over the heads where none is named', () => {
  const heads = [1, 2, 3, 4].map((head) => attentionMap(encoder, tokenize, sentence, { layer: 1, head }).weights);
  const mean = attentionMap(encoder, tokenize, sentence, { layer: 1 }).weights;
  const n = tokens.length;
  for (let at = 0; at < n * n; at++) {
    const [i, j] = [Math.floor(at / n), at % n];
    expect(mean[i][j]).toBeCloseTo(heads.reduce((sum, weights) => sum + weights[i][j], 0) / 4, 6);
  }
});

describe('SVG', () => {
  const problems: string[] = [];
  const parser = new DOMParser({ onError: (level, message) => problems.push(`${level}: ${message}`) });
  const document = parser.parseFromString(heatmapSvg(map), 'image/svg+xml');
  const texts = Array.from(document.getElementsByTagName('text'), (node: Element) => node.textContent);
  const cells = Array.from(document.getElementsByTagName('rect')).filter((rect) => rect.hasAttribute('fill-opacity'));

  it('is well-formed', () => {
    expect(problems).toEqual([]);
    expect(document.documentElement?.namespaceURI).toBe('http://www.w3.org/2000/svg');
  });

  it('names every token on both axes, the sentence, the layer and the head', () => {
    for (const token of new Set(tokens)) {
      const times = tokens.filter((other) => other === token).length;
      const label = token.replace('\u0007', '□');
      expect(texts.filter((text) => text === label).length, label).toBe(2 * times);
    }
    expect(texts[0]).toBe(sentence.replace('\u0007', '□'));
    expect(texts[1]).toContain('layer 2, head 3 of 4');
  });

  it('has a cell a pair, as dark as its weight', () => {
    expect(cells.map((cell) => Number(cell.getAttribute('fill-opacity')))).toEqual(
      map.weights.flat().map((weight) => Number((weight / largest(map)).toFixed(3))),
    );
  });
});

it('fits the table to the terminal', () => {
  const wide = heatmapText(map).split('\n');
  expect(wide.length).toBe(tokens.length + 2);
  expect(wide[2].trim().split(/\s+/).length).toBe(tokens.length + 2);
  const narrow = heatmapText(map, 24).split('\n');
  expect(narrow[0]).toContain(`of ${tokens.length} columns`);
  for (const row of narrow.slice(1)) expect(row.length).toBeLessThanOrEqual(24);
});
