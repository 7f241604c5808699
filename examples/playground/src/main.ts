import * as wasmAttention from 'wasm-attention';
import { engineText, mountCost } from './cost.ts';
import { byId } from './dom.ts';
import type { Model } from './model.ts';
import { mountRotation } from './rotation.ts';
import { mountSentence } from './sentence.ts';
import { mountSoftmax } from './softmax.ts';
import { mountTheme } from './theme.ts';
import { mountTiles } from './tiles.ts';

/** What the page's console sees. */
export type Playground = { wasmAttention: typeof wasmAttention; runtime: wasmAttention.Runtime; model?: Model };

mountTheme();
try {
  start(await wasmAttention.createRuntime({ threads: 'auto' }));
} catch (error) {
  byId('engine').textContent = `The kernels cannot run here: ${(error as Error).message}`;
  throw error;
}

function start(runtime: wasmAttention.Runtime): void {
  const playground: Playground = { wasmAttention, runtime };
  Object.assign(globalThis, { playground });
  byId('engine').textContent = `Computing with the ${engineText(runtime)}.`;
  mountSoftmax(runtime);
  mountSentence(runtime, (model) => {
    playground.model = model;
  });
  mountCost(runtime, mountTiles());
  mountRotation(runtime);
}
