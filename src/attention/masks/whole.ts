import { wrongKind } from '../../check.ts';
import type { Tensor } from '../../tensor.ts';
import type { AttentionOptions } from '../options.ts';
import { causalRows, lengthRows, type Predicate, predicateRows, tensorRows, windowRows } from './definitions.ts';
import { Visibility } from './visibility.ts';

// One mask for all calls, with which plans are kept.
let causalMask: Visibility | undefined;
const ofPredicates = new WeakMap<Predicate, Visibility>();

/** The conjunction of every option that hides keys; undefined if none does. */
export function wholeMask(
  where: string,
  { causal, window, mask, maskMod }: AttentionOptions,
  keyLengths: ArrayLike<number> | undefined,
): Visibility | undefined {
  let whole: Visibility | undefined;
  const add = (part: Visibility) => {
    whole = whole ? whole.and(part) : part;
  };
  if (keyLengths !== undefined) add(new Visibility(lengthRows(keyLengths)));
  if (window !== undefined) {
    if (!Array.isArray(window) || window.length !== 2) throw wrongKind(where, 'window', 'a pair [left, right]', window);
    add(new Visibility(windowRows(window[0], window[1])));
  }
  if (causal) {
    causalMask ??= new Visibility(causalRows);
    add(causalMask);
  }
  if (mask instanceof Visibility) add(mask);
  else if (mask?.dtype === 'boolean') add(new Visibility(tensorRows(mask as Tensor<'boolean'>)));
  if (maskMod) add(maskOf(maskMod));
  return whole;
}

function maskOf(maskMod: Predicate): Visibility {
  const mask = ofPredicates.get(maskMod) ?? new Visibility(predicateRows(maskMod));
  ofPredicates.set(maskMod, mask);
  return mask;
}
