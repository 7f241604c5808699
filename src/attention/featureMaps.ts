import { FeatureMap as Kind } from '../../assembly/params.ts';
import {
  checkDim,
  checkFlag,
  checkHeads,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPositive,
  wrongKind,
  wrongValue,
} from '../check.ts';
import {
  type FavorFeatures,
  type FavorOptions,
  type FeatureMap,
  favorFeatures as features,
  retentionDecay as retention,
} from '../reference/featureMaps.ts';

/** Of a projection: 256 MiB. */
const MOST_NUMBERS = 2 ** 26;

/**
 * The random features of FAVOR+ for `featureMap` of `linearAttention`, which then approximates softmax attention: the error falls
 * with `1/√features`. The same numbers give the same features.
 *
 * `φ(x) = e^{ωᵀx̂ − ‖x̂‖²/2}`, `x̂ = x·√scale`; ω orthogonal directions, in blocks of headDim, with the norms of N(0, I) rows.
 * Source: Choromanski et al. 2021 (Performer), lemma 1 and section 2.4.
 *
 * @param options headDim; features, default `⌊d·ln d⌋`; seed, an integer, default 0; orthogonal, default true
 * @returns projection float32 [features, headDim]
 * @throws RangeError numbers out of range; TypeError wrong kinds
 * @example
 * const featureMap = favorFeatures({ headDim: 64, features: 256, seed: 1 });
 * const output = linearAttention(query, key, value, { featureMap, causal: true });
 */
export function favorFeatures(options: FavorOptions): FavorFeatures {
  const where = 'favorFeatures';
  checkOptions(where, options, new Set(['headDim', 'features', 'seed', 'orthogonal']));
  const { headDim, seed = 0, orthogonal = true } = options;
  checkDim(where, 'headDim', headDim);
  if (options.features !== undefined) checkInteger(where, 'features', options.features, 1);
  const numbers = (options.features ?? headDim * Math.log(headDim)) * headDim;
  if (numbers > MOST_NUMBERS)
    throw wrongValue(
      where,
      'features',
      `of headDim ${headDim} are ${Math.floor(numbers)} numbers; at most ${MOST_NUMBERS} are possible`,
    );
  checkInteger(where, 'seed', seed);
  checkFlag(where, 'orthogonal', orthogonal);
  return features(options);
}

/**
 * The decays of RetNet's heads for `decay` of `linearAttention` under `update: 'gated'`: `ln γ_h`, `γ_h = 1 − 2^{−5−h}`.
 *
 * Source: Sun et al. 2023 (RetNet), eq. 8.
 *
 * @returns [heads]
 * @throws RangeError when `heads` is no integer from 1 to 65536
 */
export function retentionDecay(heads: number): Float64Array {
  checkHeads('retentionDecay', heads);
  return retention(heads);
}

/** What the kernel needs of a feature map. */
export type KernelMap = {
  kind: Kind;
  features: number;
  /** cosFormer: cos and sin a position; FAVOR+: the projection. */
  data: Float32Array;
  /** FAVOR+: factor of what is projected, so that exponents are of base 2. */
  inputScale: number;
  /** Whether the divisor has a least value instead of a summand. */
  clamps: boolean;
};

/** Throws unless it is a feature map for vectors of `headDim`. */
export function checkFeatureMap(where: string, map: FeatureMap, headDim: number, length: number): void {
  const name = 'featureMap';
  if (typeof map === 'string') {
    checkOneOf(where, name, map, ['identity', 'elu', 'relu', 'cosformer']);
  } else if (typeof map !== 'object' || map === null) {
    throw wrongKind(where, name, "'identity', 'elu', 'relu', 'cosformer' or an object", map);
  } else if ('projection' in map) {
    const { projection, features } = map;
    if (!(projection instanceof Float32Array))
      throw wrongKind(where, `${name}.projection`, 'a Float32Array', projection);
    checkInteger(where, `${name}.headDim`, map.headDim, 1);
    if (map.headDim !== headDim)
      throw wrongValue(where, name, `is for headDim ${map.headDim}, but "query" has headDim ${headDim}`);
    checkInteger(where, `${name}.features`, features, 1);
    if (projection.length !== features * headDim)
      throw wrongValue(where, `${name}.projection`, `has ${projection.length} elements, not ${features} × ${headDim}`);
  } else {
    checkOptions(where, map, new Set(['type', 'maxLength', 'offset']));
    if (map.type !== 'cosformer') throw wrongKind(where, `${name}.type`, "'cosformer'", map.type);
    const { maxLength = Math.max(length, 1), offset = 0 } = map;
    checkInteger(where, `${name}.offset`, offset);
    checkPositive(where, `${name}.maxLength`, maxLength);
    if (offset + length > maxLength)
      throw wrongValue(where, `${name}.maxLength`, `is ${maxLength}, but there are ${offset + length} positions`);
  }
}

export function kernelMap(
  map: FeatureMap,
  headDim: number,
  length: number,
  scale: number,
  math: Pick<Math, 'cos' | 'sin'>,
): KernelMap {
  const plain = { features: headDim, data: new Float32Array(0), inputScale: 0, clamps: false };
  if (map === 'identity') return { ...plain, kind: Kind.identity };
  if (map === 'elu') return { ...plain, kind: Kind.elu };
  if (map === 'relu') return { ...plain, kind: Kind.relu };
  if (map !== 'cosformer' && 'projection' in map) {
    const inputScale = Math.sqrt(scale) * Math.LOG2E;
    return { kind: Kind.favor, features: map.features, data: map.projection, inputScale, clamps: true };
  }
  const { maxLength = length, offset = 0 } = map === 'cosformer' ? {} : map;
  const data = new Float32Array(2 * length);
  for (let i = 0; i < length; i++) {
    const angle = ((Math.PI / 2) * (i + 1 + offset)) / maxLength;
    data[2 * i] = math.cos(angle);
    data[2 * i + 1] = math.sin(angle);
  }
  return { kind: Kind.cosformer, features: 2 * headDim, data, inputScale: 0, clamps: true };
}
