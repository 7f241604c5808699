import { FeatureMap, Recurrence } from './params';
import { decayRow, mapRows, rowBytes } from './features';
import { absorb, correct, read, step, stepGated } from './micro/step';
import { copyRow, fillTail, scaleRow } from './micro/rows';
import { layOut, loadState, Part, saveState, TILE, valueBytes } from './recurrenceState';
import { advanceSums } from './recurrenceSums';
import { pointer, real, word } from './simd/lanes';

export { recurrenceScratchBytes } from './recurrenceState';

// Linear attention as a recurrence over tokens: S ← decay·S + φ(k)·vᵀ, o = Sᵀφ(q) (Katharopoulos et al. 2020, eq. 18–20). In tiles of
// tokens, and in those 16 columns of S at a time, which stay in the L1 cache. The form that multiplies whole chunks of tokens as
// matrices (Hua et al. 2022) has a quarter more arithmetic at best, and nothing to win: this one runs at 51 of 58 GFLOP/s (measured).

/**
 * One task: a KV head of a batch, with the query heads that share it, and all columns of its values or, where there are fewer heads than
 * threads, some: columns do not meet. The state that it reads is never the one that it writes.
 */
export function recurrence(params: usize, task: i32, scratch: usize): void {
  const splits = word(params, Recurrence.splits), splitColumns = word(params, Recurrence.splitColumns);
  const head = task / splits, first = task % splits * splitColumns;
  const kvHeads = word(params, Recurrence.kvHeads), b = head / kvHeads, h = head % kvHeads;
  const queries = word(params, Recurrence.queries), keyLengths = pointer(params, Recurrence.keyLengths);
  const length = keyLengths == 0 ? word(params, Recurrence.keys) : load<i32>(keyLengths + (<usize>b << 2));
  layOut(params, scratch);
  store<i32>(scratch, first, Part.first << 2);
  store<i32>(scratch, min(word(params, Recurrence.valueDim) - first, splitColumns), Part.columns << 2);
  loadState(params, head, scratch);
  const causal = word(params, Recurrence.causal) != 0;
  for (let t = 0; t < length; t += TILE) {
    const count = min(length - t, TILE);
    advance(params, scratch, b, h, t, count, causal ? count : 0);
  }
  for (let t = causal ? length : 0; t < queries; t += TILE) advance(params, scratch, b, h, t, 0, min(queries - t, TILE));
  saveState(params, head, scratch);
}

// @ts-ignore: top-level decorator
@inline
function isDelta(params: usize): bool {
  return pointer(params, Recurrence.beta) != 0;
}

// @ts-ignore: top-level decorator
@inline
function at(params: usize, tensor: i32, strides: i32, b: i32, h: i32, t: i32): usize {
  const batch = word(params, strides), head = word(params, strides + 1), row = word(params, strides + 2);
  return pointer(params, tensor) + (<usize>(b * batch + h * head + t * row) << 2);
}

/** Tokens from `first` on: `live` keys go into the state, `reading` queries read it. If there are both, each after its own token. */
function advance(params: usize, scratch: usize, b: i32, h: i32, first: i32, live: i32, reading: i32): void {
  const features = pointer(scratch, Part.features), rows = rowBytes(params), columns = valueBytes(scratch);
  const group = word(params, Recurrence.heads) / word(params, Recurrence.kvHeads);
  if (live > 0) {
    const stride = <usize>word(params, Recurrence.keyRow) << 2;
    const key = at(params, Recurrence.key, Recurrence.keyBatch, b, h, first);
    mapRows(params, pointer(scratch, Part.keys), key, stride, live, first, true, features);
    openValues(params, scratch, b, h, first, live);
    if (word(params, Recurrence.decayDims) > 0) openDecays(params, scratch, b, h, first, live);
  }
  for (let g = 0; reading > 0 && g < group; g++) {
    const stride = <usize>word(params, Recurrence.queryRow) << 2;
    const query = at(params, Recurrence.query, Recurrence.queryBatch, b, h * group + g, first);
    mapRows(params, pointer(scratch, Part.queries) + <usize>(g * TILE) * rows, query, stride, reading, first, false, features);
  }
  if (word(params, Recurrence.normalize)) advanceSums(params, scratch, live, reading);
  const stateBytes = <usize>word(params, Recurrence.features) << 6;
  let state = pointer(scratch, Part.state);
  for (let column: usize = 0; column < columns; column += 64, state += stateBytes) {
    if (live == 0) readTile(params, scratch, state, column, reading);
    else if (reading == 0) absorbTile(params, scratch, state, column, live);
    else stepTile(params, scratch, state, column, live);
  }
  const skipped = <usize>word(scratch, Part.first) << 2, dim = word(scratch, Part.columns);
  for (let g = 0; g < group; g++) {
    for (let t = 0; t < reading; t++) {
      const row = skipped + at(params, Recurrence.output, Recurrence.outputBatch, b, h * group + g, first + t);
      const from = pointer(scratch, Part.outputs) + <usize>(g * TILE + t) * columns;
      const divisor = load<f32>(pointer(scratch, Part.divisors) + (<usize>(g * TILE + t) << 2));
      scaleRow(row, from, dim, factorOf(params, divisor));
    }
  }
}

/** scale, or scale / divisor. */
function factorOf(params: usize, sum: f32): f64 {
  const scale = <f64>real(params, Recurrence.scale) + <f64>real(params, Recurrence.scaleLow);
  if (!word(params, Recurrence.normalize)) return scale;
  const divisor = <f64>sum * scale, epsilon = <f64>real(params, Recurrence.epsilon);
  if (!word(params, Recurrence.clamp)) return scale / (divisor + epsilon);
  return scale / (divisor < epsilon ? epsilon : divisor);
}

function openValues(params: usize, scratch: usize, b: i32, h: i32, first: i32, count: i32): void {
  const dim = word(scratch, Part.columns), bytes = valueBytes(scratch), stride = <usize>word(params, Recurrence.valueRow) << 2;
  let row = pointer(scratch, Part.values);
  let from = at(params, Recurrence.value, Recurrence.valueBatch, b, h, first) + (<usize>word(scratch, Part.first) << 2);
  for (let t = 0; t < count; t++, row += bytes, from += stride) {
    copyRow(row, from, dim);
    fillTail(row, dim, 16, 0);
    if (!isDelta(params)) continue;
    const beta = load<f32>(at(params, Recurrence.beta, Recurrence.betaBatch, b, h, first + t));
    store<f32>(pointer(scratch, Part.betas) + (<usize>t << 2), beta);
  }
}

/** The tokens' decays, and for the delta rule their keys times these: Sᵀk of the decayed state. */
function openDecays(params: usize, scratch: usize, b: i32, h: i32, first: i32, count: i32): void {
  const dims = word(params, Recurrence.decayDims), bytes = rowBytes(params), key = pointer(scratch, Part.keys);
  for (let t = 0; t < count; t++) {
    const from = at(params, Recurrence.decay, Recurrence.decayBatch, b, h, first + t), row = <usize>t * bytes;
    const decays = pointer(scratch, Part.decays) + row;
    if (word(params, Recurrence.decayIsLog)) decayRow(decays, from, dims);
    else store<f32>(decays, load<f32>(from));
    if (!isDelta(params)) continue;
    const gated = pointer(scratch, Part.gatedKeys) + row, g = v128.load32_splat(decays);
    for (let i: usize = 0; i < bytes; i += 16) {
      v128.store(gated + i, f32x4.mul(v128.load(key + row + i), dims == 1 ? g : v128.load(decays + i)));
    }
  }
}

function readTile(params: usize, scratch: usize, state: usize, column: usize, count: i32): void {
  const features = word(params, Recurrence.features), rows = rowBytes(params), columns = valueBytes(scratch);
  const group = word(params, Recurrence.heads) / word(params, Recurrence.kvHeads);
  for (let g = 0; g < group; g++) {
    const queries = pointer(scratch, Part.queries) + <usize>(g * TILE) * rows;
    const outputs = pointer(scratch, Part.outputs) + <usize>(g * TILE) * columns + column;
    for (let t = 0; t < count; t += 2) {
      const i = <usize>t, j = <usize>min(t + 1, count - 1);
      read(state, features, queries + i * rows, outputs + i * columns, queries + j * rows, outputs + j * columns);
    }
  }
}

// @ts-ignore: top-level decorator
@inline
function isRaised(params: usize, scratch: usize, t: i32): bool {
  return word(params, Recurrence.map) == FeatureMap.favor && load<i32>(pointer(scratch, Part.raised) + (<usize>t << 2)) != 0;
}

/** Keys that nobody reads one by one: the rule is linear, so only FAVOR+ has decays. */
function absorbTile(params: usize, scratch: usize, state: usize, column: usize, count: i32): void {
  const features = word(params, Recurrence.features), rows = rowBytes(params), columns = valueBytes(scratch);
  const values = pointer(scratch, Part.values) + column, zeros = pointer(scratch, Part.zeros);
  for (let t = 0; t < count; t++) {
    const key = pointer(scratch, Part.keys) + <usize>t * rows, value = values + <usize>t * columns;
    if (isRaised(params, scratch, t)) {
      const decay = pointer(scratch, Part.decays) + <usize>t * rows;
      stepGated(state, features, decay, 4, key, value, key, pointer(scratch, Part.spare));
    } else if (t + 1 < count && !isRaised(params, scratch, t + 1)) {
      absorb(state, features, key, value, key + rows, value + columns);
      t++;
    } else absorb(state, features, key, value, zeros, zeros);
  }
}

/** Token by token: each changes the state, and its queries read it. */
function stepTile(params: usize, scratch: usize, state: usize, column: usize, count: i32): void {
  const features = word(params, Recurrence.features), rows = rowBytes(params), columns = valueBytes(scratch);
  const dims = word(params, Recurrence.decayDims), decayStep: usize = dims == 1 ? 0 : 4;
  const heads = word(params, Recurrence.heads) / word(params, Recurrence.kvHeads);
  const queries = pointer(scratch, Part.queries), outputs = pointer(scratch, Part.outputs) + column;
  const headRows = <usize>TILE * rows, headColumns = <usize>TILE * columns;
  for (let t: usize = 0; t < <usize>count; t++) {
    const key = pointer(scratch, Part.keys) + t * rows, value = pointer(scratch, Part.values) + t * columns + column;
    const decay = pointer(scratch, Part.decays) + t * rows;
    const query = queries + t * rows, output = outputs + t * columns;
    if (isDelta(params)) {
      const gated = dims > 0 ? pointer(scratch, Part.gatedKeys) + t * rows : key;
      const beta = pointer(scratch, Part.betas) + (t << 2);
      correct(state, features, gated, value, load<f32>(beta));
    }
    if (dims > 0 || isRaised(params, scratch, <i32>t)) stepGated(state, features, decay, decayStep, key, value, query, output);
    else step(state, features, key, value, query, output);
    for (let g = 1; g < heads; g += 2) {
      const i = <usize>g, j = <usize>min(g + 1, heads - 1);
      read(state, features, query + i * headRows, output + i * headColumns, query + j * headRows, output + j * headColumns);
    }
  }
}
