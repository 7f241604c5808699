import { layerNorm, linear, mergeStates, rmsNorm, type Tensor } from 'wasm-attention';
import {
  layerNorm as layerNormReference,
  linear as linearReference,
  mergeStates as mergeReference,
  rmsNorm as rmsNormReference,
} from 'wasm-attention/reference';
import { count } from '../support.ts';
import { expectClose, type Operation } from './trial.ts';

const product: Operation = (inputs, pick) => {
  const [rows, inFeatures, outFeatures] = [pick.size(12, 140, 0), pick.size(20, 140), pick.size(20, 140, 0)];
  const lead = pick.chance() ? [rows] : [1, rows];
  const [x, w] = [inputs.random([...lead, inFeatures]), inputs.random([outFeatures, inFeatures])];
  const b = pick.maybe(() => inputs.random([outFeatures]));
  return {
    args: [inputs.upload(x), inputs.upload(w), b && inputs.upload(b)],
    call: linear,
    check: (output: Tensor) => expectClose(output.data, linearReference(x, w, b).data),
  };
};

const layer: Operation = (inputs, pick) => {
  const [rows, dim] = [pick.size(12, 140, 0), pick.size(20, 140)];
  const [x, w] = [inputs.random([rows, dim]), inputs.random([dim])];
  const b = pick.maybe(() => inputs.random([dim]));
  const epsilon = pick.one(1e-5, 0.1);
  return {
    args: [inputs.upload(x), inputs.upload(w), b && inputs.upload(b), epsilon],
    call: layerNorm,
    check: (output: Tensor) => expectClose(output.data, layerNormReference(x, w, b, { epsilon }).data),
  };
};

const rms: Operation = (inputs, pick) => {
  const [rows, dim] = [pick.size(12, 140, 0), pick.size(20, 140)];
  const [x, w] = [inputs.random([rows, dim]), inputs.random([dim])];
  const epsilon = pick.one(1e-5, 0.1);
  return {
    args: [inputs.upload(x), inputs.upload(w), epsilon],
    call: rmsNorm,
    check: (output: Tensor) => expectClose(output.data, rmsNormReference(x, w, { epsilon }).data),
  };
};

const merge: Operation = (inputs, pick) => {
  const [batch, heads, queries, dim] = [
    pick.integer(1, 2),
    pick.integer(1, 3),
    pick.size(12, 70, 0),
    pick.size(12, 64),
  ];
  const layout = pick.one('bhsd' as const, 'bshd' as const);
  const shape = layout === 'bhsd' ? [batch, heads, queries, dim] : [batch, queries, heads, dim];
  const states = Array.from({ length: pick.integer(1, 4) }, () => {
    const lse = inputs.random([batch, heads, queries], 5);
    if (pick.chance()) lse.data.fill(-Infinity, 0, pick.integer(0, count(lse.shape)));
    return { output: inputs.random(shape), lse };
  });
  const given = states.map(({ output, lse }) => ({ output: inputs.upload(output), lse: inputs.upload(lse) }));
  return {
    args: [given, { layout }],
    call: mergeStates,
    check({ output, lse }: { output: Tensor; lse: Tensor }) {
      const truth = mergeReference(states, { layout });
      expectClose(output.data, truth.output.data);
      expectClose(lse.data, truth.lse.data, 'lse');
    },
  };
};

export const denseOperations: Record<string, Operation> = {
  linear: product,
  layerNorm: layer,
  rmsNorm: rms,
  mergeStates: merge,
};
