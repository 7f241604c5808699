import * as wasmAttention from 'wasm-attention';
import { engineText, mountCost } from './cost.ts';
import { byId } from './dom.ts';
import type { Model } from './model.ts';
import { mountRotation } from './rotation.ts';
import { mountSentence } from './sentence.ts';
import { mountSoftmax } from './softmax.ts';
import { mountTheme } from './theme.ts';
import { mountTiles, type PlanSetting } from './tiles.ts';

/** What the page's console sees. */
export type Playground = { wasmAttention: typeof wasmAttention; runtime: wasmAttention.Runtime; model?: Model };

mountTheme();
const runtime = await wasmAttention.createRuntime({ threads: 'auto' });
const playground: Playground = { wasmAttention, runtime };
Object.assign(globalThis, { playground });
byId('engine').textContent =
  `Computing with the ${engineText({ build: runtime.build, threads: runtime.threads, reason: runtime.threadsReason })}.`;
mountSoftmax(runtime);
mountSentence(runtime, (model) => {
  playground.model = model;
});
let setting: PlanSetting;
mountTiles((now) => {
  setting = now;
});
mountCost(() => setting);
mountRotation(runtime);
