import { dot, type Round } from './array.ts';
import type { FeatureMap } from './featureMaps.ts';

type Row = (row: number[], position: number) => number[];

/** A feature map φ of one call. */
export type Mapped = {
  features: number;
  key: Row;
  query: Row;
  /** Whether `key` and `query` give ln φ. */
  isLog: boolean;
  /** Factor of the readout. */
  factor: number;
  /** Whether ε is the least divisor instead of a summand. */
  clamps: boolean;
};

/**
 * identity; elu: `elu(x) + 1` (Katharopoulos et al. 2020, eq. 7); relu; cosFormer: `[ReLU(x)·cos(π/2·i/M), ReLU(x)·sin(π/2·i/M)]`,
 * i from 1 (Qin et al. 2022, eq. 10); FAVOR+: ln of the positive features (Choromanski et al. 2021, lemma 1).
 */
export function featureMap(
  map: FeatureMap,
  { headDim, length, scale, round }: { headDim: number; length: number; scale?: number; round: Round },
): Mapped {
  const plain = (row: Row): Mapped => ({
    features: headDim,
    key: row,
    query: row,
    isLog: false,
    factor: 1,
    clamps: false,
  });
  const softmaxScale = scale ?? 1 / Math.sqrt(headDim);
  if (map === 'identity') return { ...plain((row) => row), factor: softmaxScale };
  if (map === 'elu') return plain((row) => row.map((x) => (x > 0 ? round(x + 1) : round(Math.exp(x)))));
  if (map === 'relu') return plain((row) => row.map((x) => Math.max(x, 0)));
  if (map === 'cosformer' || 'type' in map) {
    const { maxLength = length, offset = 0 } = map === 'cosformer' ? {} : map;
    const row: Row = (x, position) => {
      const angle = ((Math.PI / 2) * (position + 1 + offset)) / maxLength;
      const [cos, sin] = [round(Math.cos(angle)), round(Math.sin(angle))];
      return [...x.map((e) => round(Math.max(e, 0) * cos)), ...x.map((e) => round(Math.max(e, 0) * sin))];
    };
    return { ...plain(row), features: 2 * headDim, clamps: true };
  }
  const scaled = (row: number[]) => row.map((x) => round(x * Math.sqrt(softmaxScale)));
  const logits = (row: number[]) =>
    Array.from({ length: map.features }, (_, f) => dot(map.projection, f * headDim, row, 0, headDim, round));
  return {
    ...plain((x) => logits(scaled(x))),
    key: (x) => {
      const row = scaled(x);
      const half = round(dot(row, 0, row, 0, headDim, round) / 2);
      return logits(row).map((logit) => round(logit - half));
    },
    features: map.features,
    isLog: true,
  };
}
