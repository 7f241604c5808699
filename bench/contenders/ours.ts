import { type Build, createRuntime, scaledDotProductAttention } from 'wasm-attention';
import { type Loaded, reason } from './contender.ts';

export function ourName(build: Build, threads = 1): string {
  return `wasm-attention ${build}${threads > 1 ? ` × ${threads}` : ''}`;
}

/** A build of this package; every shape gets a runtime of its own, so that its memory can be told. */
export async function ours(build: Build, threads: number): Promise<Loaded> {
  const system = ourName(build, threads);
  try {
    const runtime = await createRuntime({ build, threads });
    const had = runtime.threads;
    runtime.dispose();
    if (had !== threads) throw new Error(`createRuntime gives ${had} thread`);
  } catch (error) {
    return { system, contenders: [], fails: reason(error) };
  }
  return {
    system,
    contenders: [
      {
        system,
        way: 'scaledDotProductAttention',
        async prepare({ batch, heads, kvHeads, queries, keys, headDim, causal, window }, inputs) {
          const runtime = await createRuntime({ build, threads });
          const query = runtime.tensor([batch, heads, queries, headDim], inputs.query);
          const key = runtime.tensor([batch, kvHeads, keys, headDim], inputs.key);
          const value = runtime.tensor([batch, kvHeads, keys, headDim], inputs.value);
          const output = runtime.zeros([batch, heads, queries, headDim]);
          const options = { causal, window, output };
          return {
            run: () => void scaledDotProductAttention(query, key, value, options),
            output: () => output.data,
            memoryBytes: () => runtime.memory.peakBytes - runtime.memory.usedBytes,
            release: () => runtime.dispose(),
          };
        },
      },
    ],
  };
}
