import {
  type Float64NdArray,
  headsOf,
  headsShape,
  type Layout,
  type NdArray,
  type Precision,
  rounder,
  zeros,
} from './array.ts';
import type { FeatureMap } from './featureMaps.ts';
import { featureMap as mapOf } from './features.ts';

/** How a token changes the state `S`; see `linearAttention`. */
export type UpdateRule = 'linear' | 'gated' | 'delta' | 'gatedDelta';

/** As the options of the kernel, on arrays. */
export type LinearAttentionOptions = {
  /** Default `'linear'`. */
  update?: UpdateRule;
  /** Default `'identity'`. */
  featureMap?: FeatureMap;
  /** Default true for the rules that forget, false for `'linear'`. */
  causal?: boolean;
  /** Whether to divide by `φ(q)ᵀΣφ(k)`. Default: with a feature map but under the delta rules. */
  normalize?: boolean;
  /** Added to the divisor; cosFormer's is at least this. Default 1e-6. */
  epsilon?: number;
  /** Identity: factor of the query. FAVOR+: factor of QKᵀ in the softmax. Default `1/√headDim`. */
  scale?: number;
  /** In log space: one a head, [batch, kvHeads, keys], or with a last axis of features; axes in the order of `layout`. */
  decay?: NdArray | ArrayLike<number>;
  /** [batch, kvHeads or 1, keys] in the order of `layout`. */
  beta?: NdArray;
  /** [batch, kvHeads, features, columns], as it is returned. */
  state?: NdArray;
  /** Per batch: keys from here on are skipped. */
  keyLengths?: ArrayLike<number>;
  layout?: Layout;
  precision?: Precision;
};

/**
 * Linear attention, token by token.
 *
 * `S ← diag(e^g)·S + φ(k)·vᵀ`; delta: `S ← diag(e^g)·S`, then `S ← S + φ(k)·β(v − Sᵀφ(k))ᵀ`. `z ← e^g·z + φ(k)`.
 * `o = scale·Sᵀφ(q)`, normalised `o = Sᵀφ(q) / (zᵀφ(q) + ε)`, after the update by the token itself (causal) or by all.
 *
 * FAVOR+: `φ_i(k) = e^{ω_iᵀk̂ − ‖k̂‖²/2 − m_i}`, `x̂ = x·√scale`, `m_i` the largest exponent so far: S and z grow by `e^{−m_i}` with it,
 * and `φ_i(q) = e^{ω_iᵀq̂ + m_i − max}`. Both cancel in the quotient.
 *
 * Sources: Katharopoulos et al. 2020, eq. 18–20; Choromanski et al. 2021, eq. 6; Qin et al. 2022 (cosFormer), eq. 10; gated: Sun et
 * al. 2023, Yang et al. 2024 (GLA), eq. 3; delta: Schlag et al. 2021, eq. 24; gated delta: Yang et al. 2025, eq. 10.
 *
 * @param query [batch, heads, queries, headDim]
 * @param key [batch, kvHeads, keys, headDim]
 * @param value [batch, kvHeads, keys, valueDim]
 * @returns state [batch, kvHeads, features, valueDim], a column z more if normalised, and `m/ln 2` more for FAVOR+
 */
export function linearAttention(
  query: NdArray,
  key: NdArray,
  value: NdArray,
  options: LinearAttentionOptions = {},
): { output: Float64NdArray; state: Float64NdArray } {
  const round = rounder(options.precision);
  const { update = 'linear', featureMap = 'identity', layout, keyLengths, decay, epsilon = 1e-6 } = options;
  const [q, k, v] = [query, key, value].map((array) => headsOf(array, layout));
  const gated = update === 'gated' || update === 'gatedDelta';
  const isDelta = update === 'delta' || update === 'gatedDelta';
  const { causal = update !== 'linear', normalize = featureMap !== 'identity' && !isDelta } = options;
  const map = mapOf(featureMap, {
    headDim: k.headDim,
    length: Math.max(q.length, k.length),
    scale: options.scale,
    round,
  });
  const { features, isLog } = map;
  const columns = v.headDim + (normalize ? 1 : 0) + (isLog ? 1 : 0);
  const sums = v.headDim;
  const output = zeros(headsShape(q.batch, q.heads, q.length, v.headDim, layout));
  const state = zeros([k.batch, k.heads, features, columns]);
  if (options.state) state.data.set(options.state.data);
  const row = (array: NdArray, heads: ReturnType<typeof headsOf>, b: number, h: number, t: number) =>
    Array.from({ length: heads.headDim }, (_, d) => array.data[heads.start(b, h, t) + d]);

  for (let b = 0; b < k.batch; b++) {
    for (let h = 0; h < k.heads; h++) {
      const S = Array.from({ length: features }, (_, f) =>
        state.data.subarray(
          ((b * k.heads + h) * features + f) * columns,
          ((b * k.heads + h) * features + f + 1) * columns,
        ),
      );
      const absorb = (t: number) => {
        let phi = map.key(row(key, k, b, h, t), t);
        if (isLog) {
          phi = phi.map((x, f) => {
            const old = S[f][sums + 1] * Math.LN2;
            const next = S[f][sums] === 0 ? x : Math.max(old, x);
            const factor = S[f][sums] === 0 ? 0 : round(Math.exp(round(old - next)));
            for (let c = 0; c <= sums; c++) S[f][c] = round(S[f][c] * factor);
            S[f][sums + 1] = next / Math.LN2;
            return round(Math.exp(round(x - next)));
          });
        }
        if (gated) {
          for (let f = 0; f < features; f++) {
            const factor = round(Math.exp(decayAt(decay!, layout, b, h, t, f)));
            for (let c = 0; c < columns; c++) S[f][c] = round(factor * S[f][c]);
          }
        }
        let added = row(value, v, b, h, t);
        if (isDelta) {
          const beta = read3(options.beta!, layout, b, h, t);
          added = added.map((x, c) => {
            const known = phi.reduce((sum, p, f) => round(sum + round(p * S[f][c])), 0);
            return round(beta * round(x - known));
          });
        }
        for (let f = 0; f < features; f++) {
          for (let c = 0; c < v.headDim; c++) S[f][c] = round(S[f][c] + round(phi[f] * added[c]));
          if (normalize) S[f][sums] = round(S[f][sums] + phi[f]);
        }
      };
      const readInto = (head: number, i: number) => {
        let phi = map.query(row(query, q, b, head, i), i);
        if (isLog) {
          const logs = phi.map((x, f) => round(x + S[f][sums + 1] * Math.LN2));
          const max = Math.max(...logs);
          phi = logs.map((x) => round(Math.exp(round(x - max))));
        }
        const product = (c: number) =>
          round(map.factor * phi.reduce((sum, p, f) => round(sum + round(p * S[f][c])), 0));
        const sum = normalize ? product(sums) : 1;
        const divisor = isLog ? sum || 1 : map.clamps ? Math.max(sum, epsilon) : round(sum + epsilon);
        for (let c = 0; c < v.headDim; c++) {
          output.data[headsOf(output, layout).start(b, head, i) + c] = normalize
            ? round(product(c) / divisor)
            : product(c);
        }
      };
      const group = Array.from({ length: q.heads / k.heads }, (_, g) => h * (q.heads / k.heads) + g);
      const length = keyLengths ? keyLengths[b] : k.length;
      if (!causal) for (let t = 0; t < length; t++) absorb(t);
      for (let i = 0; i < q.length; i++) {
        if (causal && i < length) absorb(i);
        for (const head of group) readInto(head, i);
      }
    }
  }
  return { output, state };
}

/** An element of [batch, heads or 1, sequence], axes in the order of `layout`. */
function read3(array: NdArray, layout: Layout = 'bhsd', b: number, h: number, t: number): number {
  const [, second, third] = array.shape;
  if (layout === 'bhsd') return array.data[(b * second + (second === 1 ? 0 : h)) * third + t];
  return array.data[(b * second + t) * third + (third === 1 ? 0 : h)];
}

function decayAt(
  decay: NdArray | ArrayLike<number>,
  layout: Layout | undefined,
  b: number,
  h: number,
  t: number,
  f: number,
) {
  if (!('shape' in decay)) return decay[h];
  if (decay.shape.length === 3) return read3(decay, layout, b, h, t);
  return decay.data[headsOf(decay, layout).start(b, h, t) + f];
}
