import { type Build, createRuntime, scaledDotProductAttention, scaledDotProductAttentionAsync } from 'wasm-attention';
import { stopwatch } from './clock.ts';
import { type Estimate, estimate, ratio } from './statistics.ts';

const ROUNDS = 9;
const [TOKENS, HEAD_DIM] = [16384, 64];

/** The asynchronous form of one causal head of 16,384: its time over the other's, and its longest turn without the event loop. */
export async function responsiveness(build: Build): Promise<{ overhead: Estimate; longest: Estimate }> {
  const runtime = await createRuntime({ build });
  const [query, key, value, output] = [1, 2, 3, 4].map(() => runtime.zeros([1, 1, TOKENS, HEAD_DIM]));
  for (const tensor of [query, key, value])
    tensor.set(Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(i)));
  const options = { causal: true, output };
  const sync = () => {
    const elapsed = stopwatch();
    scaledDotProductAttention(query, key, value, options);
    return elapsed();
  };
  const async = async () => {
    let [running, longest] = [true, 0];
    let sinceTurn = stopwatch();
    const turn = () => {
      longest = Math.max(longest, 1000 * sinceTurn());
      sinceTurn = stopwatch();
      if (running) setImmediate(turn);
    };
    setImmediate(turn);
    const elapsed = stopwatch();
    await scaledDotProductAttentionAsync(query, key, value, options);
    running = false;
    return { seconds: elapsed(), longest };
  };
  sync();
  await async();
  const [syncSeconds, asyncSeconds, longest]: number[][] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    syncSeconds.push(sync());
    const sliced = await async();
    asyncSeconds.push(sliced.seconds);
    longest.push(sliced.longest);
  }
  runtime.dispose();
  return { overhead: ratio(asyncSeconds, syncSeconds), longest: estimate(longest) };
}
