import { checkOptions, checkSameShape, sizeOf, wrongKind, wrongValue } from '../check.ts';
import { Disposing } from '../dispose.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Tensor } from '../tensor.ts';
import { linear } from './linear.ts';
import { groupNorm, layerNorm, rmsNorm } from './norm.ts';

/** Parameters by name: values in C order, or with their shape, as tensors and `readSafetensors` have them. */
export type StateDict = Readonly<Record<string, ArrayLike<number> | StateEntry>>;

/** Values with their shape, in C order; a `Tensor` is one. */
export type StateEntry = { readonly shape: readonly number[]; readonly data: ArrayLike<number> | ArrayLike<bigint> };

/** How names of a state dict are matched. */
export type LoadOptions = {
  /** What stands before the layer's own names in the state dict, as `'encoder.layers.0.attn.'`; default nothing. */
  prefix?: string;
  /** Whether names (after the prefix) that are not parameters are refused; default true. */
  strict?: boolean;
};

/** Shapes by name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

const loadOptions = new Set(['prefix', 'strict']);

/** Named parameters in linear memory: what every layer has. */
export abstract class Layer extends Disposing {
  #parameters = new Map<string, Tensor>();

  readonly #derived: Shapes;

  /**
   * @param shapes shape of each parameter of the state dict
   * @param derived shape of what `derive` computes from them
   */
  constructor(
    readonly runtime: Runtime,
    readonly name: string,
    readonly shapes: Shapes,
    derived: Shapes = {},
  ) {
    super();
    this.#derived = derived;
  }

  /**
   * Copies a state dict in, all of it or, where it does not fit, nothing.
   * @throws RangeError where a parameter is missing, unknown or of the wrong size; TypeError where one is no array
   */
  load(state: StateDict, options: LoadOptions = {}): this {
    const where = `${this.name}.load`;
    if (typeof state !== 'object' || state === null) throw wrongKind(where, 'state', 'an object of parameters', state);
    checkOptions(where, options, loadOptions);
    const { prefix = '', strict = true } = options;
    if (typeof prefix !== 'string') throw wrongKind(where, 'prefix', 'a string', prefix);
    for (const name of Object.keys(state)) {
      if (strict && name.startsWith(prefix) && !Object.hasOwn(this.shapes, name.slice(prefix.length)))
        throw wrongValue(where, name, `is not a parameter; there are ${Object.keys(this.shapes).join(', ')}`);
    }
    const values = (name: string) => {
      if (!Object.hasOwn(state, prefix + name) || state[prefix + name] === undefined)
        throw wrongValue(where, prefix + name, 'is missing');
      return valuesOf(where, prefix + name, state[prefix + name], this.shapes[name]);
    };
    const given = new Map(Object.keys(this.shapes).map((name) => [name, values(name)]));
    if (this.#parameters.size === 0) this.#allocate();
    for (const [name, values] of given) {
      const entry = state[prefix + name];
      // Growth of the memory has detached what `data` of a tensor was.
      this.parameter(name).set(entry instanceof Tensor ? entry.data : values);
    }
    this.derive();
    return this;
  }

  /** Frees the parameters; without any, or where the runtime is gone, there is nothing to do. */
  dispose(): void {
    for (const parameter of this.#parameters.values()) if (!parameter.disposed) parameter.dispose();
    this.#parameters.clear();
  }

  protected override get held(): boolean {
    return true;
  }

  /** Fills what is derived from parameters, after `load`. */
  protected derive(): void {}

  /** @internal */
  checkLoaded(where: string): void {
    this.runtime.checkLive(where);
    if (this.#parameters.size === 0) throw new Error(`${where}: no parameters; call load first`);
  }

  /** @internal */
  find(name: string): Tensor | undefined {
    return this.#parameters.get(name);
  }

  /** @internal */
  parameter(name: string): Tensor {
    return this.#parameters.get(name)!;
  }

  /** @internal `linear` by `name.weight` and, if there is one, `name.bias` */
  project(name: string, input: Tensor): Tensor {
    return linear(input, this.parameter(`${name}.weight`), this.find(`${name}.bias`));
  }

  /** @internal `layerNorm` by `name.weight` and `name.bias` */
  layerNorm(name: string, input: Tensor, epsilon?: number): Tensor {
    return layerNorm(input, this.parameter(`${name}.weight`), this.find(`${name}.bias`), epsilon);
  }

  /** @internal `groupNorm` by `name.weight` and `name.bias` */
  groupNorm(name: string, input: Tensor, groups: number, epsilon?: number): Tensor {
    return groupNorm(input, groups, this.parameter(`${name}.weight`), this.find(`${name}.bias`), epsilon);
  }

  /** @internal `rmsNorm` by `name.weight` */
  rmsNorm(name: string, input: Tensor, epsilon?: number): Tensor {
    return rmsNorm(input, this.parameter(`${name}.weight`), epsilon);
  }

  #allocate(): void {
    const parameters = this.runtime.allOrNothing((make) =>
      Object.entries({ ...this.shapes, ...this.#derived }).map(([name, shape]) => [name, make(shape)] as const),
    );
    for (const [name, parameter] of parameters) this.#parameters.set(name, this.runtime.keep(parameter));
  }
}

/** Shapes under names that begin with `prefix`. */
export function prefixed(prefix: string, shapes: Shapes): Shapes {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [prefix + name, shape]));
}

/** Shapes of `torch.nn.Linear`. */
export function linearShapes(name: string, inFeatures: number, outFeatures: number, bias = true): Shapes {
  return { [`${name}.weight`]: [outFeatures, inFeatures], ...(bias ? { [`${name}.bias`]: [outFeatures] } : {}) };
}

/** Shapes of `torch.nn.LayerNorm`. */
export function normShapes(name: string, dim: number): Shapes {
  return { [`${name}.weight`]: [dim], [`${name}.bias`]: [dim] };
}

function valuesOf(
  where: string,
  name: string,
  entry: ArrayLike<number> | StateEntry,
  shape: readonly number[],
): ArrayLike<number> {
  if (typeof entry !== 'object' || entry === null) throw wrongKind(where, name, 'an array or a tensor', entry);
  if (entry instanceof Tensor && entry.disposed) throw new Error(`${where}: "${name}" was disposed`);
  const values = 'data' in entry ? entry.data : entry;
  if (values?.length !== sizeOf(shape))
    throw wrongValue(where, name, `has ${values?.length} elements, but [${shape}] is needed`);
  if ('data' in entry) checkSameShape(where, name, entry.shape, shape);
  if (typeof values[0] === 'bigint') throw wrongKind(where, name, 'of numbers, not of bigint', values);
  return values as ArrayLike<number>;
}
