// The parameter blocks that the TypeScript side fills and the kernels read: one 32-bit word a field.
// Strides are in elements; a pointer of 0 means absent. Both sides import this file.

export const enum Attention {
  output = 0, lse, // outputs: attention output; lse [batch, heads, queries] or 0
  query, key, value, bias, slopes, sinks, offsets, // inputs: slopes, sinks [heads]; offsets [batch], int32
  batch, heads, groupSize, queries, keys, headDim, valueDim,
  outputBatch, outputHead, outputRow,
  queryBatch, queryHead, queryRow,
  keyBatch, keyHead, keyRow,
  valueBatch, valueHead, valueRow,
  biasBatch, biasHead, biasRow, biasKey,
  scale, scaleHigh, // float64 in two words: rounded to float32 it would bias every score
  softcap, unit, // float32; unit: log2 e where scores are in log2 units (flash), 1 where they are natural
  planStarts, planRuns, planBatch, planHead, // plan index of a block: batch·planBatch + head·planHead + block
  words,
}

/** A run of keys that a block of queries looks at. */
export const enum Run { start = 0, end, kind, data, words }

/** `full`: no mask code. `interval`: data → int32 first[64], end[64]. `bits`: data → bytes [8 groups][end − start], bit = lane. */
export const enum RunKind { full = 0, interval, bits }

export const enum Linear {
  output = 0, input, weight, bias, rows, inFeatures, outFeatures, words,
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
  sin = 0, cos, positions, frequencies, // positions float64 [rows]; frequencies float64 [columns]
  rows, columns, rowStride, columnStride, scale,
  words,
}

/** Queries in one task, in groups of 8 that share the vector lanes. */
export const enum Block { queries = 64, lanes = 8, keys = 128 }

/**
 * Kernels that compute a job task by task (assembly/pool.ts). A task must not write what a task reads, but its own scratch:
 * if a worker dies, the tasks of its job are done again.
 */
export const enum Task { flash = 0, scores, linear }

/** The job that all threads work on, in the words below the heap. `remaining` tasks are not taken (≤ 0: none), `unfinished` ones not computed. */
export const enum Job { generation = 0, remaining, unfinished, failed, kernel, params, scratch, scratchBytes, words }
