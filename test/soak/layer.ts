import type { Layer, Runtime, StateDict, Tensor } from 'wasm-attention';
import type { NdArray } from 'wasm-attention/reference';
import { randomMask, randomState } from '../layerSupport.ts';
import type { Choice } from './choice.ts';
import { expectClose, type Inputs, type Operation } from './trial.ts';

type State = ReturnType<typeof randomState>;

// biome-ignore lint/suspicious/noExplicitAny: each layer's forward takes tensors of its own
type AnyLayer = Layer & { forward(...args: any[]): unknown };

type Case<Options> = {
  layer: new (runtime: Runtime, options: Options) => AnyLayer;
  options: Options;
  args: unknown[];
  truth: (state: State) => NdArray;
  /** What of the result is compared; default the result. */
  of?: (result: never) => Tensor;
};

/** A layer is made, loaded, called and freed: options, parameters and inputs may each be hostile. */
export function layer<Options>(make: (inputs: Inputs, pick: Choice) => Case<Options>): Operation {
  return (inputs, pick) => {
    const { layer: Kind, options, args, truth, of = (result: Tensor) => result } = make(inputs, pick);
    const shapes = new Kind(inputs.runtime, options);
    const state = randomState(shapes, pick.seed());
    return {
      args: [options, state, ...args],
      call(given: Options, parameters: StateDict, ...rest) {
        const one = new Kind(inputs.runtime, given);
        try {
          return one.load(parameters).forward(...rest);
        } finally {
          one.dispose();
        }
      },
      check: (result) => expectClose(of(result as never).data, truth(state).data),
    };
  };
}

export const maskFor = (shape: number[], inputs: Inputs, pick: Choice) => {
  const mask = pick.maybe(() => randomMask(shape, pick.seed()));
  return { mask, given: mask && inputs.upload(mask, 'boolean') };
};
