import { MSAColumnAttention, MSARowAttentionWithPairBias, type Runtime, TriangleAttention } from 'wasm-attention';
import { type AlignmentSizes, type Inputs, isPresent, reversed, syntheticInputs, withPadding } from './alignment.ts';
import { add, difference, mebibytes, random, seededState, timed } from './common.ts';

/** AlphaFold 2's channels and heads; the last `padding` sequences and residues are not there. */
const evoformer = { sequences: 64, residues: 128, padding: 8, msaDim: 256, pairDim: 128, heads: 8, headDim: 32 };

type Sizes = AlignmentSizes & { heads: number; headDim: number };

/**
 * The four attention layers of an Evoformer block, each added to its input; the transitions and the triangle multiplication
 * between them are left out, and the weights are seeded numbers. Jumper et al. 2021, supplement, Alg. 7, 8, 13, 14.
 */
class AttentionOfEvoformer {
  readonly #row: MSARowAttentionWithPairBias;
  readonly #column: MSAColumnAttention;
  readonly #triangles: TriangleAttention[];

  constructor(
    readonly runtime: Runtime,
    readonly sizes: Sizes,
  ) {
    const { msaDim, pairDim, heads, headDim } = sizes;
    this.#row = new MSARowAttentionWithPairBias(runtime, { msaDim, pairDim, heads, headDim });
    this.#column = new MSAColumnAttention(runtime, { msaDim, heads, headDim });
    this.#triangles = (['starting', 'ending'] as const).map(
      (node) => new TriangleAttention(runtime, { pairDim, heads: heads / 2, headDim, node }),
    );
    [this.#row, this.#column, ...this.#triangles].forEach((layer, i) => {
      layer.load(seededState(layer.shapes, 100 * (i + 1)));
    });
  }

  forward(inputs: Inputs): Inputs {
    const { runtime, sizes } = this;
    const { sequences, residues, msaDim, pairDim } = sizes;
    return runtime.scope(() => {
      const [msa, pair] = [
        runtime.tensor([sequences, residues, msaDim], inputs.msa),
        runtime.tensor([residues, residues, pairDim], inputs.pair),
      ];
      const [msaMask, pairMask] = [this.#mask(sequences), this.#mask(residues)];
      add(msa, this.#row.forward(msa, pair, msaMask));
      add(msa, this.#column.forward(msa, msaMask));
      for (const triangle of this.#triangles) add(pair, triangle.forward(pair, pairMask));
      return {
        msa: withPadding(msa.data, sequences, msaDim, sizes, 0),
        pair: withPadding(pair.data, residues, pairDim, sizes, 0),
      };
    });
  }

  /** [rows, residues], true = present */
  #mask(rows: number) {
    const { residues } = this.sizes;
    const present = Array.from({ length: rows * residues }, (_, at) =>
      isPresent(Math.floor(at / residues), at % residues, rows, this.sizes),
    );
    return this.runtime.tensor([rows, residues], present, 'boolean');
  }
}

/** The block on a synthetic alignment, and three properties that it must have. */
export function alphafold(runtime: Runtime, sizes: Sizes = evoformer) {
  const { sequences, residues, msaDim, pairDim } = sizes;
  const block = new AttentionOfEvoformer(runtime, sizes);
  const inputs = syntheticInputs(sizes);
  const { result: output, ms } = timed(() => block.forward(inputs));

  // Sequences in another order give the same in that order.
  const turned = block.forward({ ...inputs, msa: reversed(inputs.msa, sizes) });
  const permuted = difference(reversed(turned.msa, sizes), output.msa);

  // Pairs steer the rows; pairs that are all alike add one number to all scores of a row, which the softmax does not see.
  const alike = [8, 9].map((seed) => {
    const vector = random([pairDim], seed).data;
    return block.forward({ ...inputs, pair: inputs.pair.map((_, at) => vector[at % pairDim]) }).msa;
  });
  const pairEffect = difference(output.msa, alike[0]);
  const alikeEffect = difference(alike[0], alike[1]);

  // Whatever stands in the padding, even NaN, changes nothing.
  const poisoned = block.forward({
    msa: withPadding(inputs.msa, sequences, msaDim, sizes, Number.NaN),
    pair: withPadding(inputs.pair, residues, pairDim, sizes, Number.NaN),
  });
  const leaked = Math.max(difference(poisoned.msa, output.msa), difference(poisoned.pair, output.pair));
  return { sizes, ms, permuted, pairEffect, alikeEffect, leaked, peakBytes: runtime.memory.peakBytes };
}

export function report(result: ReturnType<typeof alphafold>): string[] {
  const { sizes, ms, permuted, pairEffect, alikeEffect, leaked, peakBytes } = result;
  const { sequences, residues, padding, msaDim, pairDim } = sizes;
  return [
    `AlphaFold 2's attention (seeded weights) over a synthetic alignment: MSA [${sequences}, ${residues}, ${msaDim}], pairs [${residues}, ${residues}, ${pairDim}].`,
    `Rows with pair bias, columns, triangles around the starting and the ending node: ${ms.toFixed(0)} ms; ${mebibytes(peakBytes)} at most.`,
    `Sequences in reverse order: the same outputs in reverse order, to ${permuted.toExponential(1)}.`,
    `Pairs that are all alike instead of distances: outputs move by ${pairEffect.toFixed(2)}; other pairs that are all alike: by ${alikeEffect.toExponential(1)}.`,
    `NaN in the last ${padding} sequences and residues, which are masked: outputs move by ${leaked}.`,
  ];
}
