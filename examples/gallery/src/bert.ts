import type { Runtime } from 'wasm-attention';
import { difference, mebibytes, random, select, timed } from './common.ts';
import { EncoderBlock } from './encoderBlock.ts';

/** A layer of BERT-large, and a batch of sentences of these lengths. */
const large = { dim: 1024, heads: 16, ffn: 4096, lengths: [128, 96, 61, 23] };

/**
 * One encoder layer of BERT (Devlin et al. 2019; weights are seeded numbers) over a padded batch. The padding holds NaN:
 * if any of it were read into a token's output, that would be NaN.
 */
export function bert(runtime: Runtime, { dim, heads, ffn, lengths } = large) {
  const block = new EncoderBlock(runtime, { dim, heads, ffn, norm: 'post', epsilon: 1e-12 }, 1);
  const [batch, longest] = [lengths.length, Math.max(...lengths)];
  const tokens = random([batch, longest, dim], 2);
  const padding = new Uint8Array(batch * longest);
  lengths.forEach((length, b) => {
    padding.fill(1, b * longest + length, (b + 1) * longest);
    tokens.data.fill(Number.NaN, (b * longest + length) * dim, (b + 1) * longest * dim);
  });
  return runtime.scope(() => {
    const input = runtime.tensor(tokens.shape, tokens.data);
    const mask = runtime.tensor([batch, longest], padding, 'boolean');
    const forward = () => block.forward(input, { padding: mask }).output;
    const { result: output, ms } = timed(forward, 3, (tensor) => tensor.dispose());

    // The shortest sequence alone, without padding, in float64: its first, middle and last token.
    const shortest = lengths.indexOf(Math.min(...lengths));
    const start = shortest * longest * dim;
    const alone = {
      shape: [1, lengths[shortest], dim],
      data: tokens.data.subarray(start, start + lengths[shortest] * dim),
    };
    const checked = [0, lengths[shortest] >> 1, lengths[shortest] - 1];
    const computed = select({ shape: alone.shape, data: output.data.subarray(start) }, checked);
    const error = difference(computed.data, block.reference(alone, checked).data);
    return { shape: output.shape, lengths, ms, checked, error, peakBytes: runtime.memory.peakBytes };
  });
}

export function report({ shape, lengths, ms, checked, error, peakBytes }: ReturnType<typeof bert>): string[] {
  const [real, all] = [lengths.reduce((sum, n) => sum + n), shape[0] * shape[1]];
  return [
    `One BERT-large encoder layer (seeded weights) over [${shape}]: ${real} tokens, padded to ${all} with NaN.`,
    `${ms.toFixed(0)} ms, ${((real / ms) * 1000).toFixed(0)} tokens/s; ${mebibytes(peakBytes)} at most, weights and input among them.`,
    `Tokens ${checked.join(', ')} of the shortest sentence, against float64 without padding: largest difference ${error.toExponential(1)}.`,
  ];
}
