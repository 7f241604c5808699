import { type Build, createRuntime, linearAttention } from 'wasm-attention';
import { stopwatch } from './clock.ts';
import { type Estimate, ratio } from './statistics.ts';

const ROUNDS = 9;
const HEAD_DIM = 64;

/** Linear attention's time per token at 65,536 tokens over that at 4,096, causal, elu + 1, one head of 64: 1 is linear. */
export async function linearity(build: Build): Promise<Estimate> {
  const runtime = await createRuntime({ build });
  const calls = [4096, 65536].map((tokens) => {
    const [query, key, value, output] = [1, 2, 3, 4].map(() => runtime.zeros([1, 1, tokens, HEAD_DIM]));
    for (const tensor of [query, key, value])
      tensor.set(Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(i)));
    const options = { featureMap: 'elu', causal: true, output } as const;
    return () => {
      const elapsed = stopwatch();
      for (let done = 0; done < 65536; done += tokens) linearAttention(query, key, value, options);
      return elapsed();
    };
  });
  for (const call of calls) call();
  const [short, long]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    short.push(calls[0]());
    long.push(calls[1]());
  }
  runtime.dispose();
  return ratio(long, short);
}
