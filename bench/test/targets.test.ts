import { describe, expect, it } from 'vitest';
import type { Measurement, SuiteResult } from '../measure.ts';
import { reached } from '../reached.ts';
import { flops, keyValueBytes, type Shape, suites } from '../shapes.ts';
import { estimate, median, ratio } from '../statistics.ts';
import { best, evaluate, judge, type Outcome, targets } from '../targets.ts';

const node = { nodeMajor: 24, threads: 1 };
const shapeOf = (name: string) => suites.flat().find((shape) => shape.name === name)!;
const bert = shapeOf('BERT-large');

function measured(shape: Shape, system: string, seconds: number[], way = 'way'): Measurement {
  return { shape, system, way, seconds };
}

function suite(shapes: Shape[], measurements: Measurement[], rate = 60e9): SuiteResult {
  return {
    shapes,
    measurements,
    peaks: [1, 1, 1].map(() => ({ fused: rate, mulAdd: rate, read: 20e9 })),
    coreShare: 1,
  };
}

function outcome(result: SuiteResult, start: string, engine = node): Outcome {
  const found = evaluate([result], engine).find(({ target }) => target.startsWith(start));
  if (!found) throw new Error(`no target begins with ${start}`);
  return found;
}

describe('statistics', () => {
  it('median', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });

  it('few samples: the interval is all of them', () => {
    expect(estimate([5, 1, 3])).toEqual({ median: 3, low: 1, high: 5 });
  });

  it('the interval is the one of order statistics', () => {
    // n = 25, ranks 25/2 ∓ 1.96·5/2 → the 8th and the 18th.
    expect(estimate(Array.from({ length: 25 }, (_, i) => i + 1))).toEqual({ median: 13, low: 8, high: 18 });
  });

  it('ratios are taken round by round: a drift of both is no noise', () => {
    expect(ratio([2, 4, 8], [1, 2, 4])).toEqual({ median: 2, low: 2, high: 2 });
  });

  it('without common rounds the intervals divide', () => {
    expect(ratio([4], [1, 2, 4])).toEqual({ median: 2, low: 1, high: 4 });
  });
});

describe('verdicts', () => {
  it.each([
    ['≥', { median: 2, low: 1, high: 3 }, 'met'],
    ['≥', { median: 1.9, low: 1, high: 2.1 }, 'within noise'],
    ['≥', { median: 1.9, low: 1, high: 1.95 }, 'short'],
    ['≤', { median: 2.1, low: 1.9, high: 3 }, 'within noise'],
    ['≤', { median: 2.1, low: 2.05, high: 3 }, 'short'],
    ['≤', { median: 2, low: 1, high: 3 }, 'met'],
  ] as const)('%s 2: %o is %s', (sense, value, verdict) => {
    expect(judge(sense, 2, value)).toBe(verdict);
  });
});

describe('targets', () => {
  const at = (share: number) => Array(3).fill(flops(bert) / (share * 60e9));

  it.each([
    [0.81, 'met'],
    [0.79, 'short'],
  ] as const)('share of the FMA peak: %f is %s', (share, verdict) => {
    const { value, verdict: got } = outcome(
      suite([bert], [measured(bert, 'wasm-attention relaxed', at(share))]),
      'relaxed: headDim 64',
    );
    expect(got).toBe(verdict);
    expect(value!.median).toBeCloseTo(share);
  });

  it('a peer is its fastest operator', () => {
    const result = suite(
      [bert],
      [
        measured(bert, 'wasm-attention relaxed', [1, 1, 1]),
        measured(bert, 'onnxruntime-web', [3, 3, 3], 'Attention'),
        measured(bert, 'onnxruntime-web', [2, 2, 2], 'MultiHeadAttention'),
      ],
    );
    expect((best(result, bert.name, 'onnxruntime-web') as Measurement).way).toBe('MultiHeadAttention');
    expect(outcome(result, 'times onnxruntime-web')).toMatchObject({
      verdict: 'short',
      bound: 2.2,
      value: { median: 2 },
    });
  });

  it('asks for no more than the machine allows', () => {
    // At 80 % of the peak a call is 1.5 times as fast as this peer.
    const peer = (1.5 * flops(bert)) / (0.8 * 60e9);
    const at = (times: number) => [
      measured(bert, 'wasm-attention relaxed', Array(3).fill(peer / times)),
      measured(bert, 'onnxruntime-web', Array(3).fill(peer)),
    ];
    const target = (times: number) => outcome(suite([bert], at(times)), 'times onnxruntime-web');
    expect(target(1.51)).toMatchObject({ verdict: 'met', asked: 2.2 });
    expect(target(1.49)).toMatchObject({ verdict: 'short' });
    expect(target(1.49).bound).toBeCloseTo(1.5);
    const decode = shapeOf('decode');
    const bound = (rate: number) => {
      const seconds = Array(3).fill(keyValueBytes(decode) / 15e9);
      return outcome(suite([decode], [measured(decode, 'wasm-attention relaxed', seconds)], rate), 'decode: share')
        .bound;
    };
    // 2 flops a byte: 20 GFLOP/s are 10 of the 20 GB/s.
    expect(bound(20e9)).toBeCloseTo(0.7 * 0.5);
    expect(bound(60e9)).toBe(0.75);
  });

  it('what is known to be out of reach is held to what was reached', () => {
    const cross = shapeOf('diffusion cross');
    const share = (of: number) => {
      const seconds = Array(3).fill(flops(cross) / (of * 60e9));
      return outcome(suite([cross], [measured(cross, 'wasm-attention relaxed', seconds)]), 'relaxed: headDim 40');
    };
    expect(share(0.76).verdict).toBe('met');
    expect(share(0.65)).toMatchObject({ verdict: 'as reached', bound: 0.75 });
    expect(share(0.5).verdict).toBe('short');
  });

  it('names targets and shapes that exist', () => {
    const names = targets(node).map(({ name }) => name);
    for (const [target, shapes] of Object.entries(reached)) {
      expect(names).toContain(target);
      for (const shape of Object.keys(shapes)) expect(() => shapeOf(shape).name).not.toThrow();
    }
  });

  it('Node 20 is held to the plain build', () => {
    const result = suite(
      [bert],
      [measured(bert, 'wasm-attention simd', [1, 1, 1]), measured(bert, 'onnxruntime-web', [2, 2, 2])],
    );
    const engine = { nodeMajor: 20, threads: 1 };
    expect(outcome(result, 'times onnxruntime-web', engine)).toMatchObject({ verdict: 'met', bound: 1.5 });
    expect(outcome(result, 'relaxed: headDim 64', engine)).toMatchObject({ verdict: 'skipped' });
  });

  it('a peer that fails is skipped with its reason', () => {
    const result = suite(
      [bert],
      [
        measured(bert, 'wasm-attention relaxed', [1, 1, 1]),
        { ...measured(bert, 'onnxruntime-web', []), fails: 'integer overflow' },
      ],
    );
    expect(outcome(result, 'times onnxruntime-web')).toMatchObject({ verdict: 'skipped', reason: 'integer overflow' });
  });

  it('decode is a share of the bandwidth', () => {
    const decode = shapeOf('decode');
    const seconds = Array(3).fill(keyValueBytes(decode) / 15.2e9);
    const result = suite([decode], [measured(decode, 'wasm-attention relaxed', seconds)]);
    expect(outcome(result, 'decode: share')).toMatchObject({ verdict: 'met' });
  });

  it('causal is a share of the time of full', () => {
    const [full, causal] = [shapeOf('full 4096'), shapeOf('causal 4096')];
    const result = suite(
      [full, causal],
      [measured(full, 'wasm-attention relaxed', [10, 10, 10]), measured(causal, 'wasm-attention relaxed', [6, 6, 6])],
    );
    expect(outcome(result, 'causal:')).toMatchObject({ verdict: 'short', value: { median: 0.6 } });
  });

  it('two threads count where one takes more than 5 ms', () => {
    const result = (one: number) =>
      suite(
        [bert],
        [
          measured(bert, 'wasm-attention relaxed', [one, one, one]),
          measured(bert, 'wasm-attention relaxed × 2', [one / 1.9, one / 1.9, one / 1.9]),
        ],
      );
    const engine = { nodeMajor: 24, threads: 2 };
    expect(outcome(result(0.02), '2 threads', engine)).toMatchObject({ verdict: 'met' });
    expect(() => outcome(result(0.004), '2 threads', engine)).toThrow('no target');
  });
});
