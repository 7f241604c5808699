// The parameter blocks that the TypeScript side fills and the kernels read: one 32-bit word a field.
// Strides are in elements; a pointer of 0 means absent. Both sides import this file.

export const enum Attention {
  output = 0, lse, // outputs: attention output; lse [batch, heads, queries] or 0
  query, key, value, bias, slopes, sinks, offsets, // inputs: slopes, sinks [heads]; offsets [batch], int32
  batch, heads, groupSize, headsPerTask, queries, keys, headDim, valueDim,
  outputBatch, outputHead, outputRow,
  queryBatch, queryHead, queryRow,
  keyBatch, keyHead, keyRow,
  valueBatch, valueHead, valueRow,
  biasBatch, biasHead, biasRow, biasKey,
  scale, scaleLow, // float32 twice, the second what the first lacks: rounded to one float32 it would bias every score
  adjusted, // whether there is a softcap, a bias or ALiBi
  softcap, unit, // float32; unit: log2 e where scores are in log2 units (flash), 1 where they are natural
  planStarts, planRuns, planBatch, planHead, planBlock, // plan index: batch·planBatch + head·planHead + block·planBlock
  segments, segmentStarts, // where a cache has its keys: Segment records, those of batch b from segmentStarts[b] on; or 0
  stored, keyScales, valueScales, scaleHead, // Stored; int8: a float32 a row, rows of a head `scaleHead` apart
  splits, splitKeys, // keys are split into parts, each of a task of its own: then output and lse are [rows][splits]
  tileKeys, // keys in a tile, at most Block.keys
  tall, // whether the engine holds a 6×8 micro-kernel in registers
  firstTask, // what is added to the index of a task: a job may be a part of a call
  parts, partBytes, partKeys, turn, // or 0; a job's tasks in parts of so many keys (and the rest of a tile): TaskPart [tasks][2]
  words,
}

/**
 * A task that is computed in parts, one a turn: what came of it, then its scratch. An even turn writes the first of two and reads the
 * second, an odd one the other way round, so that a turn may be computed twice.
 */
export const enum TaskPart { keys = 0, finished, bytes = 64 } // keys: how many are done

/** A run of keys that a block of queries looks at. */
export const enum Run { start = 0, end, kind, data, words }

/**
 * `full`: no mask code. `interval`: data → int32 first[64], end[64], the keys that each row sees, counted from the run's start.
 * `bits`: the same, outside of which a row sees no key, then a bit a query, 8 bytes a key of the run.
 */
export const enum RunKind { full = 0, interval, bits }

/** Keys from `start` to the next segment's start lie in consecutive rows from `row` on; a last one has the largest start there is. */
export const enum Segment { start = 0, row, words }

/** How keys and values are stored: as numbers, or an int8 with one scale a row, x = scale · q. */
export const enum Stored { float32 = 0, float16, int8 }

/**
 * Rows that go into a cache, of `parts` such blocks one after the other (keys, values, …), all of as many batches and heads:
 * `rows` int32 [batch, length] says which row of the store each becomes, −1: none.
 */
export const enum Append {
  parts = 0, store, scales, input, rows, cos, sin, // cos, sin [batch · length, rotaryDim / 2], or 0: not turned
  batch, heads, length, dim, rotaryDim, interleaved, stored, storeRows, // storeRows: rows of a head in the store
  inputBatch, inputHead, inputRow,
  words,
}

export const enum Linear {
  output = 0, input, weight, bias, rows, inFeatures, outFeatures, tall, words,
}

export const enum Rope {
  output = 0, input, cos, sin, // tables [rows, rotaryDim / 2]
  rowOf, // int32 [batch, length]: the table row of each position
  batch, heads, length, headDim, rotaryDim, interleaved,
  outputBatch, outputHead, outputRow,
  inputBatch, inputHead, inputRow,
  words,
}

export const enum Table {
  sin = 0, cos, positions, frequencies, axes, // positions float64 [axes, rows]; frequencies float64, axes int32 [columns]
  rows, columns, rowStride, columnStride, scale,
  words,
}

/** Rows in one task, in groups of 8 that share the vector lanes; the most keys in a tile (a multiple of 4 and 6); the bounds of a run; `linear` takes up to `fewRows` rows by `features` columns. */
export const enum Block { queries = 64, lanes = 8, keys = 120, boundsBytes = 512, fewRows = 3, features = 480 }

/**
 * Kernels that compute a job task by task (assembly/pool.ts). A task must not write what a task reads, but its own scratch:
 * if a worker dies, the tasks of its job are done again.
 */
export const enum Kernel { flash = 0, scores, linear, append, recurrence, causalConv }

/**
 * The job that all threads work on, in the words below the heap. `remaining` tasks are not taken (≤ 0: none), `unfinished` ones not
 * computed. Where workers go on is in `next`: the address of a module, or a `Next`.
 */
export const enum Job { generation = 0, remaining, unfinished, failed, kernel, params, scratch, scratchBytes, next, words }

export const enum Next { here = 0, home }

/** Linear attention: what a recurrence over tokens reads and writes; a task is a KV head of a batch, or some of its value columns. */
export const enum Recurrence {
  output = 0, newState, // newState [batch, kvHeads, features, columns] or 0
  query, key, value, decay, beta, state, keyLengths, // keyLengths int32 [batch] or 0
  table, projection, // cosFormer: cos and sin a position; FAVOR+: ω [features, headDim]
  batch, heads, kvHeads, queries, keys, headDim, features, valueDim, columns,
  outputBatch, outputHead, outputRow,
  queryBatch, queryHead, queryRow,
  keyBatch, keyHead, keyRow,
  valueBatch, valueHead, valueRow,
  decayBatch, decayHead, decayRow,
  betaBatch, betaHead, betaRow,
  decayDims, decayIsLog, // decays a token: 0, 1 or features; whether they are logarithms
  map, causal, normalize, clamp, tall, // clamp: the divisor is max(sum, epsilon), else sum + epsilon
  scale, scaleLow, epsilon, inputScale, inputScaleLow, // float32; inputScale: of FAVOR+'s vectors, √scale · log2 e
  splits, splitColumns, // values are split into parts, each of a task of its own; splitColumns is a multiple of 16
  words,
}

export const enum FeatureMap { identity = 0, elu, relu, cosformer, favor }

/** A causal depthwise convolution; a task is a channel of a batch. State [batch, channels, size − 1]. */
export const enum CausalConv {
  output = 0, newState, input, weight, bias, state, // bias, state: or 0
  channels, length, size, silu, words,
}
