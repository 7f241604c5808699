import type { Build } from 'wasm-attention';
import { type Loaded, reason } from './contender.ts';
import { jaxJs } from './jax.ts';
import { onnxruntimeNode, onnxruntimeWeb } from './onnxruntime.ts';
import { ours } from './ours.ts';
import { tfjsWasm } from './tfjs.ts';

export const peers: Record<string, () => Promise<Loaded>> = {
  'onnxruntime-web': onnxruntimeWeb,
  'onnxruntime-node': onnxruntimeNode,
  'tfjs-wasm': tfjsWasm,
  'jax-js': jaxJs,
};

/** Our builds and the named peers, each with its contenders or the reason why there are none. */
export async function loadAll(builds: readonly Build[], threads: number, names: readonly string[]): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  for (const build of builds) loaded.push(await ours(build, 1));
  if (threads > 1 && !loaded[0].fails) loaded.push(await ours(builds[0], threads));
  for (const system of names) {
    try {
      loaded.push(await peers[system]());
    } catch (error) {
      loaded.push({ system, contenders: [], fails: reason(error) });
    }
  }
  return loaded;
}
