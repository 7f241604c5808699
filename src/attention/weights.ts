import { checkOneOf, wrongKind } from '../check.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { KeyValueStore } from './keyValues.ts';
import { launch } from './launch.ts';
import type { AttentionOptions } from './options.ts';
import { problem } from './problem.ts';

/** How far the scores are taken: `scale·QKᵀ`, after the softcap, after bias and mask (−Infinity = not visible), softmax. */
export type WeightsStage = 'scores' | 'softcap' | 'masked' | 'weights';

/**
 * The attention weights themselves, to look at: the matrix that `scaledDotProductAttention` never stores.
 *
 * @param query [batch, heads, queries, headDim], in the order of `options.layout`
 * @param key [batch, kvHeads, keys, headDim]
 * @param given options as for `scaledDotProductAttention`, without `output`, `valueDim`, `scoreMod` and `probMod`; `stage` defaults to `'weights'`
 * @returns float32 [batch, heads, queries, keys]; rows sum to 1 (less with a sink), a row that sees no key is 0
 * @throws as `scaledDotProductAttention`
 */
export function attentionWeights(
  query: Tensor,
  key: Tensor,
  given: Omit<AttentionOptions, 'output' | 'valueDim' | 'scoreMod' | 'probMod'> & { stage?: WeightsStage } = {},
): Tensor {
  if (typeof given !== 'object' || given === null) throw wrongKind('attentionWeights', 'options', 'an object', given);
  const { stage = 'weights', ...options } = given;
  for (const name of ['output', 'valueDim', 'scoreMod', 'probMod'])
    if (name in options) throw new TypeError(`attentionWeights: "${name}" is not an option of attentionWeights`);
  checkOneOf('attentionWeights', 'stage', stage, ['scores', 'softcap', 'masked', 'weights']);
  if (key instanceof KeyValueStore) throw wrongKind('attentionWeights', 'key', 'a Tensor', key);
  const checked = problem('attentionWeights', query, key, undefined, options);
  const unmasked = { ...checked, mask: undefined, biases: [], alibiSlopes: undefined };
  const { runtime, batch, heads, queries, keys, sink } = checked;
  const { kernels } = whole(runtime);
  return runtime.allOrNothing((make) => {
    const weights = make([batch, heads, queries, keys]);
    if (stage === 'scores') launch('scores', { ...unmasked, softcap: 0 }, weights);
    else if (stage === 'softcap') launch('scores', unmasked, weights);
    else launch('scores', checked, weights);
    for (let head = 0; stage === 'weights' && head < batch * heads; head++) {
      const start = weights.address + head * queries * keys * 4;
      kernels.softmax(start, queries, keys, sink ? sink[head % heads] : -Infinity);
    }
    return weights;
  });
}
