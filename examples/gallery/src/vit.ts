import { PatchEmbedding, type Runtime } from 'wasm-attention';
import { difference, mebibytes, seededState, select, timed } from './common.ts';
import { EncoderBlock } from './encoderBlock.ts';
import { alpineLandscape, heatmapSvg, type Picture, toChannels } from './image.ts';

/** ViT-B/16 (Dosovitskiy et al. 2021), of its 12 blocks the first 4. */
const base = { imageSize: 224, patchSize: 16, dim: 768, heads: 12, ffn: 3072, blocks: 4 };

/**
 * A vision transformer over a photograph, and the attention rollout (Abnar & Zuidema 2020) of its class token. The weights
 * are seeded numbers, so the map shows how attention is followed through the layers, not what a trained model looks at.
 */
export function vit(runtime: Runtime, { imageSize, patchSize, dim, heads, ffn, blocks } = base) {
  const picture = alpineLandscape(imageSize);
  const embedding = new PatchEmbedding(runtime, { imageSize, patchSize, embedDim: dim });
  embedding.load(seededState(embedding.shapes, 1));
  const layers = Array.from(
    { length: blocks },
    (_, l) => new EncoderBlock(runtime, { dim, heads, ffn, norm: 'pre', epsilon: 1e-6 }, 100 * (l + 1)),
  );
  return runtime.scope(() => {
    const pixels = toChannels(picture);
    const image = runtime.tensor(pixels.shape, pixels.data);
    const forward = () => {
      const tokens = embedding.forward(image);
      const outputs = [{ output: tokens, weights: undefined as typeof tokens | undefined }];
      for (const layer of layers) outputs.push(layer.forward(outputs.at(-1)!.output, { needWeights: true }));
      return outputs;
    };
    const { result: outputs, ms } = timed(forward);
    const tokens = outputs[0].output.shape[1];

    // What the last block makes of its input, for the class token and the last patch, in float64.
    const [before, after] = [outputs[blocks - 1].output, outputs[blocks].output];
    const checked = [0, tokens - 1];
    const truth = layers[blocks - 1].reference({ shape: before.shape, data: before.data }, checked);
    const error = difference(select(after, checked).data, truth.data);

    const attention = outputs.slice(1).map(({ weights }) => weights!.data);
    const rollout = classRollout(attention, tokens);
    return {
      picture,
      tokens,
      grid: imageSize / patchSize,
      rollout,
      attention,
      ms,
      error,
      peakBytes: runtime.memory.peakBytes,
    };
  });
}

/** The class token's row of `Π_l (A_l + I)/2`, the last layer first, a row at a time. */
export function classRollout(attention: readonly ArrayLike<number>[], tokens: number): Float64Array {
  let row = Float64Array.from({ length: tokens }, (_, i) => Number(i === 0));
  for (const weights of [...attention].reverse())
    row = row.map((own, j) => (own + row.reduce((sum, p, i) => sum + p * weights[i * tokens + j], 0)) / 2);
  return row;
}

export type VitResult = ReturnType<typeof vit>;

export function vitSvg({ picture, rollout, grid }: { picture: Picture; rollout: Float64Array; grid: number }): string {
  return heatmapSvg(picture, rollout.subarray(1), grid, 'Rollout of the class token; weights are random numbers');
}

export function report({ tokens, grid, rollout, ms, error, peakBytes }: VitResult): string[] {
  const patches = Array.from(rollout.subarray(1));
  const [own, least, most] = [rollout[0], Math.min(...patches), Math.max(...patches)].map(
    (x) => `${(100 * x).toFixed(2)} %`,
  );
  return [
    `ViT-B/16, 4 blocks (seeded weights), over Braun's Alpine Landscape: a class token and ${grid} × ${grid} patches, ${tokens} tokens.`,
    `${ms.toFixed(0)} ms with the attention weights of every block; ${mebibytes(peakBytes)} at most.`,
    `The last block's class token and last patch, against float64: largest difference ${error.toExponential(1)}.`,
    `Rollout of the class token: ${own} to itself, ${least} to ${most} to a patch. Random weights: mechanics, not meaning.`,
  ];
}
