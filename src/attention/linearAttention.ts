import { FeatureMap, Kernel, Recurrence } from '../../assembly/params.ts';
import { tallMicroKernels } from '../runtime/features.ts';
import { whole } from '../runtime/whole.ts';
import { Tensor } from '../tensor.ts';
import { gateStrides } from './gates.ts';
import { type LinearAttentionOptions, type LinearProblem, linearProblem } from './linearOptions.ts';
import { stridesOf } from './options.ts';

/**
 * Linear attention: time and memory per token do not grow with the length. Every token changes a state S [features, valueDim] per
 * head, and a query reads it, `o = scale·Sᵀφ(q)`, or normalised `o = Sᵀφ(q) / (φ(q)ᵀz + ε)` with `z` the sum of `φ(k)`.
 *
 * | `update` | |
 * |---|---|
 * | `'linear'` | `S ← S + φ(k)·vᵀ` (Katharopoulos et al. 2020, eq. 18–20) |
 * | `'gated'` | `S ← diag(e^g)·S + φ(k)·vᵀ` (RetNet: Sun et al. 2023, eq. 5; GLA: Yang et al. 2024, eq. 3) |
 * | `'delta'` | `S ← S + φ(k)·β(v − Sᵀφ(k))ᵀ` (Schlag et al. 2021, eq. 24; Yang et al. 2024, DeltaNet) |
 * | `'gatedDelta'` | the decay, then the delta rule (Yang et al. 2025, eq. 10) |
 *
 * φ: `'identity'`; `'elu'`, `elu(x) + 1`; `'relu'`; `'cosformer'` (Qin et al. 2022, eq. 10); FAVOR+, which approximates softmax attention,
 * by `favorFeatures` (Choromanski et al. 2021). A query reads after its own token's update. Query head `h` reads the state of KV head
 * `⌊h / (heads/kvHeads)⌋`. A query before which there is no key is 0 where φ has no normaliser of its own.
 *
 * @param query float32 [batch, heads, queries, headDim], in the order of `options.layout`
 * @param key float32 [batch, kvHeads, keys, headDim]; heads is a multiple of kvHeads
 * @param value float32 [batch, kvHeads, keys, valueDim]
 * @returns [batch, heads, queries, valueDim] in the same order
 * @throws TypeError wrong kind or dtype; RangeError sizes that do not fit, numbers out of range, options that exclude each other, the
 * memory limit; Error a disposed tensor or one of another runtime. Nothing has been written then.
 * @example
 * const output = linearAttention(query, key, value, { featureMap: 'elu', causal: true });
 */
export function linearAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: LinearAttentionOptions = {},
): Tensor {
  const problem = linearProblem('linearAttention', query, key, value, options);
  return problem.runtime.allOrNothing((make) => {
    const output = problem.output ?? make(problem.outputShape);
    launch(problem, output, undefined);
    return output;
  });
}

/**
 * Linear attention with the state after its last key, from which another call goes on: over the next part of a sequence, or one
 * token at a time.
 *
 * @returns output as `linearAttention`; state, a new float32 [batch, kvHeads, features, columns]: valueDim columns of S, one more of z
 * where the output is normalised, and for FAVOR+ a last one of `log2` of what the row is to be multiplied by
 * @throws as `linearAttention`
 * @example
 * let { output, state } = linearAttentionState(query, key, value, { featureMap: 'elu', causal: true });
 * // each next token, [batch, heads, 1, headDim]
 * ({ output, state } = linearAttentionState(q, k, v, { featureMap: 'elu', causal: true, state }));
 */
export function linearAttentionState(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: LinearAttentionOptions = {},
): { output: Tensor; state: Tensor } {
  const problem = linearProblem('linearAttentionState', query, key, value, options);
  return problem.runtime.allOrNothing((make) => {
    const output = problem.output ?? make(problem.outputShape);
    const state = make(problem.stateShape);
    launch(problem, output, state);
    return { output, state };
  });
}

function launch(problem: LinearProblem, output: Tensor, state: Tensor | undefined): void {
  const { runtime, batch, heads, kvHeads, queries, keys, headDim, valueDim, layout, map } = problem;
  const { decay, beta, keyLengths } = problem;
  const constants =
    decay === undefined || decay instanceof Tensor ? [] : Array.from(decay, (g) => whole(runtime).math.exp(g));
  const parts = [
    new Int32Array(Recurrence.words),
    map.data,
    Float32Array.from(constants),
    Int32Array.from(keyLengths ?? []),
  ];
  runtime.withScratch(
    parts.map((part) => part.byteLength),
    (...addresses) => {
      const [params, data, decays, lengths] = addresses;
      parts.forEach((part, i) => {
        new Uint8Array(runtime.buffer).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), addresses[i]);
      });
      const words = new Int32Array(runtime.buffer, params, Recurrence.words);
      const reals = new Float32Array(runtime.buffer, params, Recurrence.words);
      const set = (first: number, ...values: number[]) => words.set(values, first);
      const { query, key, value } = problem;
      const decayAt = decay instanceof Tensor ? decay.address : constants.length ? decays : 0;
      set(Recurrence.output, output.address, state?.address ?? 0);
      set(Recurrence.query, query.address, key.address, value.address, decayAt, beta?.address ?? 0);
      set(Recurrence.state, problem.state?.address ?? 0, keyLengths ? lengths : 0, data, data);
      set(
        Recurrence.batch,
        batch,
        heads,
        kvHeads,
        queries,
        keys,
        headDim,
        map.features,
        valueDim,
        problem.stateShape[3],
      );
      set(Recurrence.outputBatch, ...stridesOf(output.shape, layout));
      set(Recurrence.queryBatch, ...stridesOf(query.shape, layout));
      set(Recurrence.keyBatch, ...stridesOf(key.shape, layout));
      set(Recurrence.valueBatch, ...stridesOf(value.shape, layout));
      set(Recurrence.decayBatch, ...(decay instanceof Tensor ? gateStrides(decay, layout) : [0, 1, 0]));
      if (beta) set(Recurrence.betaBatch, ...gateStrides(beta, layout));
      const decayDims = decay instanceof Tensor && decay.shape.length === 4 ? map.features : decay ? 1 : 0;
      set(Recurrence.decayDims, decayDims, Number(decay instanceof Tensor));
      set(
        Recurrence.map,
        map.kind,
        Number(problem.causal),
        Number(problem.normalize),
        Number(map.clamps),
        Number(tallMicroKernels),
      );
      reals.set([...inTwo(problem.factor), problem.epsilon, ...inTwo(map.inputScale)], Recurrence.scale);
      const work = batch * (kvHeads * keys + heads * queries) * map.features * valueDim;
      const { splits, splitColumns } = splitValues(problem, work);
      set(Recurrence.splits, splits, splitColumns);
      whole(runtime).run(Kernel.recurrence, params, batch * kvHeads * splits, work);
    },
  );
}

/** A number as one of float32 and what it lacks. */
function inTwo(x: number): [number, number] {
  return [Math.fround(x), x - Math.fround(x)];
}

/**
 * Columns of a state do not meet, so that the result is the same however they are split. What a head's parts have alike each computes:
 * of elu + 1 with 64 features that is 40 % of the whole, of FAVOR+ most.
 */
function splitValues({ runtime, batch, kvHeads, valueDim, map }: LinearProblem, work: number) {
  const heads = batch * kvHeads;
  const threads = map.kind === FeatureMap.favor ? 1 : runtime.pool.threadsFor(2, work);
  const wanted = heads >= 4 * threads || heads % threads === 0 ? 1 : threads;
  const splitColumns = LEAST_COLUMNS * Math.max(Math.ceil(Math.ceil(valueDim / LEAST_COLUMNS) / wanted), 1);
  return { splits: Math.max(Math.ceil(valueDim / splitColumns), 1), splitColumns };
}

/** The kernel keeps so many in the L1 cache at a time. */
const LEAST_COLUMNS = 16;
