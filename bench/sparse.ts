import {
  type AttentionMask,
  type Build,
  createRuntime,
  masks,
  scaledDotProductAttention,
  type Tensor,
} from 'wasm-attention';
import { stopwatch } from './clock.ts';
import { type Estimate, ratio } from './statistics.ts';

const ROUNDS = 9;
const HEAD_DIM = 64;

function inputs(runtime: Awaited<ReturnType<typeof createRuntime>>, tokens: number, headDim = HEAD_DIM): Tensor[] {
  const tensors = [1, 2, 3, 4].map(() => runtime.zeros([1, 1, tokens, headDim]));
  for (const tensor of tensors.slice(0, 3))
    tensor.set(Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(i)));
  return tensors;
}

function timed([query, key, value, output]: Tensor[], mask: AttentionMask | undefined, times: number): number {
  const elapsed = stopwatch();
  for (let done = 0; done < times; done++) scaledDotProductAttention(query, key, value, { mask, output });
  return elapsed();
}

/** Time per token of a pattern at 65,536 tokens over that at 4,096, its plan made anew for each call: 1 is linear. */
export async function sparseLinearity(build: Build, pattern: () => AttentionMask): Promise<Estimate> {
  const runtime = await createRuntime({ build });
  const [short, long] = [4096, 65536].map((tokens) => {
    const tensors = inputs(runtime, tokens);
    return () => {
      let seconds = 0;
      for (let done = 0; done < 65536; done += tokens) seconds += timed(tensors, pattern(), 1);
      return seconds;
    };
  });
  short();
  const samples: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    samples[0].push(short());
    samples[1].push(long());
  }
  runtime.dispose();
  return ratio(samples[1], samples[0]);
}

const TOKENS = 2048;
const patterns: [name: string, mask: AttentionMask, headDim: number][] = [
  ['causal', masks.causal(), HEAD_DIM],
  ['window 128', masks.slidingWindow(128, 128), HEAD_DIM],
  ['window 128, headDim 16', masks.slidingWindow(128, 128), 16],
  ['causal window 32, headDim 256', masks.slidingWindow(31, 0), 256],
  ['longformer', masks.longformer({ window: 128, globalTokens: [0, 1, 999] }), HEAD_DIM],
  ['bigBird', masks.bigBird(), HEAD_DIM],
  ['dilated', masks.dilated({ window: 32, dilation: 4 }), HEAD_DIM],
  ['causal documents', masks.documents([0, 100, 700, 701, 1500, TOKENS]).and(masks.causal()), HEAD_DIM],
];

/** The time of each pattern, as a share of that without a mask, over what its plan predicts. */
export async function planPredictions(build: Build): Promise<[name: string, Estimate][]> {
  const runtime = await createRuntime({ build });
  const found = patterns.map(([name, mask, headDim]): [string, Estimate] => {
    const tensors = inputs(runtime, TOKENS, headDim);
    const predicted = mask.plan({ queries: TOKENS, keys: TOKENS, headDim }).time;
    const times = Math.ceil(1 / predicted);
    const samples: [number[], number[]] = [[], []];
    timed(tensors, mask, 1);
    for (let round = 0; round < ROUNDS; round++) {
      samples[0].push(timed(tensors, mask, times) / times);
      samples[1].push(timed(tensors, undefined, 1) * predicted);
    }
    for (const tensor of tensors) tensor.dispose();
    return [name, ratio(samples[0], samples[1])];
  });
  runtime.dispose();
  return found;
}
