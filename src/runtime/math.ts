import type { Kernels } from './load.ts';

export type Elementary = Pick<Math, 'exp' | 'log' | 'sin' | 'cos' | 'pow'>;

/** For all that reaches a kernel: engines differ in the last bit of their own `Math.pow` and others (V8 12 and 13, for two). */
export function mathOf({ exp, log, sin, cos }: Kernels): Elementary {
  return { exp, log, sin, cos, pow: (base, exponent) => exp(exponent * log(base)) };
}
