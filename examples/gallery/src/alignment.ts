import { random } from './common.ts';

export type AlignmentSizes = { sequences: number; residues: number; padding: number; msaDim: number; pairDim: number };

export type Inputs = {
  /** [sequences, residues, msaDim] */
  msa: Float32Array;
  /** [residues, residues, pairDim] */
  pair: Float32Array;
};

const RESIDUE_TYPES = 21;
const LARGEST_DISTANCE = 32;

/** A synthetic alignment: copies of a random ancestor, every fourth residue mutated, and pairs that know their distance. */
export function syntheticInputs({ sequences, residues, msaDim, pairDim }: AlignmentSizes): Inputs {
  const uniform = random([sequences + 1, residues, 2], 1).data.map((x) => (x + 1) / 2);
  const typeAt = (s: number, r: number) => Math.min(20, Math.floor(uniform[(s * residues + r) * 2] * RESIDUE_TYPES));
  const mutated = (s: number, r: number) => uniform[(s * residues + r) * 2 + 1] < 0.25;
  const types = random([RESIDUE_TYPES, msaDim], 2).data;
  const msa = new Float32Array(sequences * residues * msaDim);
  for (let s = 0; s < sequences; s++) {
    for (let r = 0; r < residues; r++) {
      const type = typeAt(mutated(s, r) ? s : sequences, r);
      msa.set(types.subarray(type * msaDim, (type + 1) * msaDim), (s * residues + r) * msaDim);
    }
  }
  // Jumper et al. 2021, supplement, Alg. 4: a vector for each distance from −32 to 32.
  const distances = random([2 * LARGEST_DISTANCE + 1, pairDim], 3).data;
  const pair = new Float32Array(residues * residues * pairDim);
  for (let i = 0; i < residues; i++) {
    for (let j = 0; j < residues; j++) {
      const d = LARGEST_DISTANCE + Math.max(-LARGEST_DISTANCE, Math.min(LARGEST_DISTANCE, i - j));
      pair.set(distances.subarray(d * pairDim, (d + 1) * pairDim), (i * residues + j) * pairDim);
    }
  }
  return { msa, pair };
}

/** Whether a row and a residue are there, of `rows` rows: the last `padding` of either are not. */
export const isPresent = (row: number, residue: number, rows: number, { residues, padding }: AlignmentSizes) =>
  row < rows - padding && residue < residues - padding;

/** [rows, residues, dim], where `fill` stands in what is padding. */
export function withPadding(values: Float32Array, rows: number, dim: number, sizes: AlignmentSizes, fill: number) {
  return values.map((value, at) => {
    const [row, residue] = [Math.floor(at / dim / sizes.residues), Math.floor(at / dim) % sizes.residues];
    return isPresent(row, residue, rows, sizes) ? value : fill;
  });
}

/** The same with the sequences that are there in reverse order. */
export function reversed(msa: Float32Array, { sequences, residues, padding, msaDim }: AlignmentSizes): Float32Array {
  const [real, size] = [sequences - padding, residues * msaDim];
  const result = msa.slice();
  for (let s = 0; s < real; s++) result.set(msa.subarray(s * size, (s + 1) * size), (real - 1 - s) * size);
  return result;
}
