import { layerNorm, linear, rmsNorm, type Tensor } from 'wasm-attention';
import {
  layerNorm as layerNormReference,
  linear as linearReference,
  rmsNorm as rmsNormReference,
} from 'wasm-attention/reference';
import type { Operation } from './trial.ts';
import { expectClose } from './trial.ts';

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

export const denseOperations: Record<string, Operation> = { linear: product, layerNorm: layer, rmsNorm: rms };
