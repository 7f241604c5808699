import { checkFinite, checkSameShape, checkTensor, wrongKind, wrongValue } from '../check.ts';
import type { UpdateRule } from '../reference/linearAttention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Tensor } from '../tensor.ts';
import { type Layout, type Strides, stridesOf } from './options.ts';

type Sizes = { batch: number; kvHeads: number; keys: number };
type Gates = { decay?: Tensor | ArrayLike<number>; beta?: Tensor };

/** `decay` and `beta` are there for the rules that have them, and only for these. */
export function checkGates(
  where: string,
  { decay, beta }: Gates,
  { batch, kvHeads, keys }: Sizes,
  features: number,
  update: UpdateRule,
  layout: Layout,
  runtime: Runtime,
): void {
  const gated = update === 'gated' || update === 'gatedDelta';
  const isDelta = update === 'delta' || update === 'gatedDelta';
  for (const [name, given, needed] of [
    ['decay', decay, gated],
    ['beta', beta, isDelta],
  ] as const) {
    if (given !== undefined && !needed) throw wrongValue(where, name, `has no part in the rule '${update}'`);
  }
  const shape = (heads: number) => (layout === 'bhsd' ? [batch, heads, keys] : [batch, keys, heads]);
  if (isDelta) {
    checkTensor(where, 'beta', beta as Tensor, runtime, { rank: 3 });
    const shared = (beta as Tensor).shape[layout === 'bhsd' ? 1 : 2] === 1;
    checkSameShape(where, 'beta', (beta as Tensor).shape, shape(shared ? 1 : kvHeads));
  }
  if (!gated) return;
  if (decay instanceof Tensor) {
    checkTensor(where, 'decay', decay, runtime);
    checkSameShape(
      where,
      'decay',
      decay.shape,
      decay.shape.length === 4 ? [...shape(kvHeads), features] : shape(kvHeads),
    );
  } else {
    if (typeof decay !== 'object' || decay === null || typeof decay.length !== 'number')
      throw wrongKind(where, 'decay', 'a Tensor or an array of one number a KV head', decay);
    if (decay.length !== kvHeads) throw wrongValue(where, 'decay', `must be one number per KV head (${kvHeads})`);
    for (let h = 0; h < kvHeads; h++) checkFinite(where, `decay[${h}]`, decay[h]);
  }
}

/** Of [batch, heads or 1, sequence] or with a last axis of features. */
export function gateStrides({ shape }: Tensor, layout: Layout): Strides {
  const [batch, head, row] = stridesOf(shape.length === 3 ? [...shape, 1] : shape, layout);
  return [batch, shape[layout === 'bhsd' ? 1 : 2] === 1 ? 0 : head, row];
}
