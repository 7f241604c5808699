import { describe, expect, it } from 'vitest';
import {
  mixedRotaryEmbedding,
  type RotaryOptions,
  type RotaryScaling,
  relativePositionBucket,
  rotaryEmbedding,
  rotaryFrequencies,
} from 'wasm-attention/reference';
import { random } from './support.ts';

// What other implementations compute, against the reference, which positions.test.ts holds the kernels to.

function expectClose(actual: ArrayLike<number>, expected: readonly number[], relative: number): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((x, i) => {
    expect(Math.abs(actual[i] - x), `[${i}]: ${actual[i]}, expected ${x}`).toBeLessThanOrEqual(relative * Math.abs(x));
  });
}

it('rope-vit, compute_mixed_cis and apply_rotary_emb, on PyTorch 2.13 in float64', () => {
  const patches = Array.from({ length: 12 }, (_, t) => t);
  const positions = {
    shape: [2, 1, 12],
    data: [...patches.map((t) => t % 4), ...patches.map((t) => Math.floor(t / 4))],
  };
  const { data } = mixedRotaryEmbedding(random([2, 3, 12, 8], 8), random([2, 3, 4], 9), positions);
  const expected = [-0.2698194384575, -0.2503257095814, -0.4776217639446, 0.6661517620087, 0.4862583390092];
  expectClose([data[0], data[1], data[2], data[data.length >> 1], data[data.length - 1]], expected, 1e-12);
});

describe('Hugging Face Transformers, tests/utils/test_modeling_rope_utils.py: headDim 128, base 10000', () => {
  const every = [0, 1, 5, 16, 17, 20, 30, 31, 35, 40, 41, 42, 63];
  const table: [RotaryScaling, number[]][] = [
    [
      { type: 'dynamic', factor: 10, originalMaxPosition: 2048, length: 16384 },
      [
        1, 8.0931e-1, 3.472e-1, 3.3872e-2, 2.7413e-2, 1.4531e-2, 1.7517e-3, 1.4176e-3, 6.0817e-4, 2.1115e-4, 1.7089e-4,
        1.383e-4, 1.6265e-6,
      ],
    ],
    [
      { type: 'yarn', factor: 10, originalMaxPosition: 2048, betaFast: 32, betaSlow: 1 },
      [
        1, 8.6596e-1, 4.8697e-1, 1e-1, 8.3479e-2, 4.8136e-2, 6.6143e-3, 5.312e-3, 2.052e-3, 4.3007e-4, 2.7384e-4,
        2.3714e-4, 1.1548e-5,
      ],
    ],
    [
      { type: 'llama3', factor: 10, originalMaxPosition: 2048, lowFrequencyFactor: 1, highFrequencyFactor: 4 },
      [
        1, 8.6596e-1, 4.8697e-1, 1e-1, 8.6596e-2, 5.6234e-2, 1.3335e-2, 1.073e-2, 2.8248e-3, 3.4539e-4, 2.7384e-4,
        2.3714e-4, 1.1548e-5,
      ],
    ],
  ];
  it.each(table)('%o', (scaling, expected) => {
    const { frequencies } = rotaryFrequencies({ rotaryDim: 128, scaling });
    expectClose(
      every.map((k) => frequencies[k]),
      expected,
      5e-5,
    );
  });

  it('attention factors', () => {
    const factor = (scaling: RotaryScaling) => rotaryFrequencies({ rotaryDim: 128, scaling }).attentionFactor;
    const yarn = { type: 'yarn', originalMaxPosition: 2048 } as const;
    const list = Array(64).fill(1);
    const long = { type: 'longrope', shortFactor: list, longFactor: list, originalMaxPosition: 2048 } as const;
    for (const s of [2, 10, 20]) {
      expect(factor({ ...yarn, factor: s })).toBe(0.1 * Math.log(s) + 1);
      expect(factor({ ...long, factor: s })).toBe(Math.sqrt(1 + Math.log(s) / Math.log(2048)));
    }
    expect(factor({ ...long, factor: 4, attentionFactor: 0.5 })).toBe(0.5);
    // DeepSeek-V3 has mscale = mscale_all_dim = 1; V2 0.707 for both.
    expect(factor({ ...yarn, factor: 40, mscale: 1, mscaleAllDim: 1 })).toBe(1);
    const [m, all] = [0.1 * 2 * Math.log(40) + 1, 0.1 * 0.5 * Math.log(40) + 1];
    expect(factor({ ...yarn, factor: 40, mscale: 2, mscaleAllDim: 0.5 })).toBeCloseTo(m / all, 14);
  });

  it('yarn without truncation ramps between fractions of pairs', () => {
    const scaling = { type: 'yarn', factor: 32, originalMaxPosition: 4096, truncate: false } as const;
    const { frequencies } = rotaryFrequencies({ rotaryDim: 64, base: 150000, scaling });
    // gpt-oss: the ramp goes from pair 8.0928 to 17.3979.
    const ratio = (k: number) => frequencies[k] * 150000 ** (k / 32);
    expect(ratio(8)).toBe(1);
    const at = (r: number) => (32 * Math.log(4096 / (2 * Math.PI * r))) / Math.log(150000);
    expect(ratio(9)).toBeCloseTo(1 - ((9 - at(32)) / (at(1) - at(32))) * (31 / 32), 12);
    expect(ratio(18)).toBeCloseTo(1 / 32, 14);
  });
});

describe('PyTorch 1.13, float64, of the code of the models', () => {
  const x = (length: number) => ({
    shape: [1, 1, 1, length],
    data: Float64Array.from({ length }, (_, k) => (k + 1) / 10),
  });
  const at = (...positions: number[]) => ({ shape: [positions.length, 1, 1], data: positions });
  const cases: [string, number, RotaryOptions, number[]][] = [
    [
      'Qwen2-VL, mrope_section [2, 3, 3] at (3, 5, 7)',
      16,
      { axes: { sections: [2, 3, 3] }, positions: at(3, 5, 7) },
      [
        -0.22600725691392504, -0.6960981745015917, -0.26409332389751156, 0.20606333017117298, 0.4344022101456013,
        0.5688652157469667, 0.6894829358198189, 0.7964562919138412, -0.8768812461344142, 0.7452833900306323,
        1.109168479660671, 1.2480135832428934, 1.3233649231487954, 1.412937495543648, 1.5048632101334938,
        1.6017669540450805,
      ],
    ],
    [
      'Qwen3-VL, mrope_section [4, 2, 2] at (3, 5, 7)',
      16,
      { axes: { sections: [4, 2, 2], arrangement: 'interleaved' }, positions: at(3, 5, 7) },
      [
        -0.22600725691392504, -1.0020149805706464, -0.4791867997761138, 0.28453003999576976, 0.4344022101456013,
        0.5688652157469667, 0.6954968567523594, 0.7984817469508302, -0.8768812461344142, 0.1896469844527117,
        1.0345917121842447, 1.2324944853182938, 1.3233649231487954, 1.412937495543648, 1.502093246855064,
        1.6007582265246525,
      ],
    ],
    [
      'rope-vit, axial, x 2, y 1',
      8,
      { style: 'interleaved', base: 100, axes: { sections: [2, 2], arrangement: 'axial' }, positions: at(2, 1) },
      [
        -0.2234741690198506, 0.007700375373139695, 0.21455224103434795, 0.451627430375015, -0.23473143795066798,
        0.7449168759248321, 0.6166361823771556, 0.8658867238752004,
      ],
    ],
    [
      'xPos of FlashAttention, query at 100',
      8,
      { xpos: {}, role: 'query', offset: 100 },
      [
        0.26574638636006254, 0.13652673430785042, -0.39164103015391727, 0.3061440155839466, 0.2979322222964626,
        -0.5270426641458412, 0.5785125194729019, 0.8044291631921464,
      ],
    ],
    [
      'xPos of FlashAttention, key at 100',
      8,
      { xpos: {}, role: 'key', offset: 100 },
      [
        0.4335048368400771, 0.18423820177097433, -0.46541831330695704, 0.33059550509466046, 0.4860087137404612,
        -0.711226216543509, 0.6874926279665317, 0.8686783081848616,
      ],
    ],
  ];
  it.each(cases)('%s', (_name, headDim, options, expected) => {
    expectClose(rotaryEmbedding(x(headDim), options).data, expected, 1e-12);
  });

  it('buckets of T5: where the bucket changes', () => {
    const changes = (options: object) =>
      Array.from({ length: 1200 }, (_, i) => i - 599).filter(
        (d) => relativePositionBucket(d, options) !== relativePositionBucket(d - 1, options),
      );
    expect(changes({})).toEqual([
      -90, -63, -45, -31, -22, -15, -11, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64,
      91,
    ]);
    expect(changes({ bidirectional: false })).toEqual([
      -112, -98, -86, -76, -66, -58, -51, -45, -39, -34, -30, -26, -23, -20, -18, -15, -14, -13, -12, -11, -10, -9, -8,
      -7, -6, -5, -4, -3, -2, -1, 0,
    ]);
    expect(changes({ buckets: 16, maxDistance: 64 })).toEqual([-31, -15, -7, -3, -2, -1, 0, 1, 2, 3, 4, 8, 16, 32]);
    expect([-1000, -1, 0, 1, 1000].map((d) => relativePositionBucket(d))).toEqual([15, 1, 0, 17, 31]);
    expect([-1000, -1, 0, 1].map((d) => relativePositionBucket(d, { bidirectional: false }))).toEqual([31, 1, 0, 0]);
  });
});
