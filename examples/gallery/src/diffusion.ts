import { attentionWeights, CrossAttention, linear, type Runtime } from 'wasm-attention';
import { crossAttention } from 'wasm-attention/reference';
import { difference, type Float32NdArray, mebibytes, random, seededState, select, timed } from './common.ts';

/** The first level of Stable Diffusion 1.5's U-Net: 64 × 64 latents of 320 channels, CLIP's 77 text tokens of 768. */
const stableDiffusion = { side: 64, channels: 320, textTokens: 77, textDim: 768, heads: 8 };

const PROMPT = ['<start>', 'a', 'sail', 'on', 'the', 'sea', 'under', 'the', 'sun', 'and', 'the', 'sky', '<end>'];

/** Which word of the prompt each place of the picture is to be about; x and y from 0 to 1. */
function painted(x: number, y: number): string {
  if ((x - 0.78) ** 2 + (y - 0.2) ** 2 < 0.015) return 'sun';
  if (y < 0.68 && y > 0.2 && x > 0.25 && x < 0.25 + (y - 0.2) * 0.6) return 'sail';
  return y < 0.62 ? 'sky' : 'sea';
}

/**
 * Cross-attention from the latents of an image to the tokens of a text. Weights and text embeddings are seeded numbers; the
 * alignment is planted: each latent is what the query projection, read backwards, gives for the key of its word, and noise.
 */
export function diffusion(runtime: Runtime, { side, channels, textTokens, textDim, heads } = stableDiffusion) {
  const latents = side * side;
  const headDim = channels / heads;
  const layer = new CrossAttention(runtime, { queryDim: channels, contextDim: textDim, heads, headDim });
  const state = seededState(layer.shapes, 1);
  layer.load(state);
  return runtime.scope(() => {
    const text = random([1, textTokens, textDim], 50);
    const upload = ({ shape, data }: Float32NdArray) => runtime.tensor(shape, data);
    const [toQuery, toKey, context] = [state['to_q.weight'], state['to_k.weight'], text].map(upload);
    const keys = linear(context, toKey);

    const planted = Array.from({ length: latents }, (_, at) =>
      PROMPT.indexOf(painted(((at % side) + 0.5) / side, (Math.floor(at / side) + 0.5) / side)),
    );
    const backwards = linear(keys, upload(transposed(state['to_q.weight']))).data;
    const noise = random([1, latents, channels], 51);
    const data = noise.data.map(
      (x, at) => x + backwards[planted[Math.floor(at / channels)] * channels + (at % channels)],
    );
    const image = runtime.tensor(noise.shape, data);

    const { result: output, ms } = timed(
      () => layer.forward(image, context),
      3,
      (tensor) => tensor.dispose(),
    );
    const checked = [0, latents >> 1, latents - 1];
    const truth = crossAttention(select({ shape: image.shape, data }, checked), text, state, { heads });
    const error = difference(select(output, checked).data, truth.data);

    const split = { layout: 'bshd' as const };
    const query = linear(image, toQuery).view([1, latents, heads, headDim]);
    const weights = attentionWeights(query, keys.view([1, textTokens, heads, headDim]), split).data;
    const found = planted.map((_, latent) => mostSeen(weights, latent, { latents, textTokens, heads }));
    const agreement = planted.filter((token, latent) => token === found[latent]).length / latents;
    return { side, textTokens, found, planted, agreement, ms, error, peakBytes: runtime.memory.peakBytes };
  });
}

function transposed({ shape: [rows, columns], data }: Float32NdArray): Float32NdArray {
  return { shape: [columns, rows], data: data.map((_, at) => data[(at % rows) * columns + Math.floor(at / rows)]) };
}

/** The token that a latent attends to most, all heads together. */
function mostSeen(
  weights: Float32Array,
  latent: number,
  { latents, textTokens, heads }: { latents: number; textTokens: number; heads: number },
): number {
  const total = new Float64Array(textTokens);
  for (let h = 0; h < heads; h++)
    for (let t = 0; t < textTokens; t++) total[t] += weights[(h * latents + latent) * textTokens + t];
  return total.indexOf(Math.max(...total));
}

export function report(result: ReturnType<typeof diffusion>): string[] {
  const { side, textTokens, found, agreement, ms, error, peakBytes } = result;
  const signs: Record<string, string> = { sun: 'O', sail: 'A', sky: '.', sea: '~' };
  const step = Math.ceil(side / 32);
  const lines: string[] = [];
  for (let y = 0; y < side; y += 2 * step) {
    const places = Array.from({ length: Math.ceil(side / step) }, (_, x) => found[y * side + x * step]);
    lines.push(`  ${places.map((token) => signs[PROMPT[token]] ?? '?').join('')}`);
  }
  return [
    `Cross-attention of Stable Diffusion's size (seeded weights): ${side} × ${side} latents attend to ${textTokens} text tokens.`,
    `${ms.toFixed(0)} ms; ${mebibytes(peakBytes)} at most. Three latents against float64: largest difference ${error.toExponential(1)}.`,
    `The word that each latent attends to most (O sun, A sail, . sky, ~ sea): ${(100 * agreement).toFixed(1)} % are what was planted.`,
    ...lines,
  ];
}
