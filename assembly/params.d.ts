export declare const enum Attention {
    output = 0,
    lse = 1,// outputs: attention output; lse [batch, heads, queries] or 0
    query = 2,
    key = 3,
    value = 4,
    bias = 5,
    slopes = 6,
    sinks = 7,
    offsets = 8,// inputs: slopes, sinks [heads]; offsets [batch], int32
    batch = 9,
    heads = 10,
    groupSize = 11,
    queries = 12,
    keys = 13,
    headDim = 14,
    valueDim = 15,
    outputBatch = 16,
    outputHead = 17,
    outputRow = 18,
    queryBatch = 19,
    queryHead = 20,
    queryRow = 21,
    keyBatch = 22,
    keyHead = 23,
    keyRow = 24,
    valueBatch = 25,
    valueHead = 26,
    valueRow = 27,
    biasBatch = 28,
    biasHead = 29,
    biasRow = 30,
    biasKey = 31,
    scale = 32,
    scaleHigh = 33,// float64 in two words: rounded to float32 it would bias every score
    softcap = 34,
    unit = 35,// float32; unit: log2 e where scores are in log2 units (flash), 1 where they are natural
    planStarts = 36,
    planRuns = 37,
    planBatch = 38,
    planHead = 39,// plan index of a block: batch·planBatch + head·planHead + block
    words = 40
}
/** A run of keys that a block of queries looks at. */
export declare const enum Run {
    start = 0,
    end = 1,
    kind = 2,
    data = 3,
    words = 4
}
/** `full`: no mask code. `interval`: data → int32 first[64], end[64]. `bits`: data → bytes [8 groups][end − start], bit = lane. */
export declare const enum RunKind {
    full = 0,
    interval = 1,
    bits = 2
}
export declare const enum Linear {
    output = 0,
    input = 1,
    weight = 2,
    bias = 3,
    rows = 4,
    inFeatures = 5,
    outFeatures = 6,
    words = 7
}
export declare const enum Rope {
    output = 0,
    input = 1,
    cos = 2,
    sin = 3,// tables [rows, rotaryDim / 2]
    rowOf = 4,// int32 [batch, length]: the table row of each position
    batch = 5,
    heads = 6,
    length = 7,
    headDim = 8,
    rotaryDim = 9,
    interleaved = 10,
    outputBatch = 11,
    outputHead = 12,
    outputRow = 13,
    inputBatch = 14,
    inputHead = 15,
    inputRow = 16,
    words = 17
}
export declare const enum Table {
    sin = 0,
    cos = 1,
    positions = 2,
    frequencies = 3,// positions float64 [rows]; frequencies float64 [columns]
    rows = 4,
    columns = 5,
    rowStride = 6,
    columnStride = 7,
    scale = 8,
    words = 9
}
/** Queries in one task, in groups of 8 that share the vector lanes. */
export declare const enum Block {
    queries = 64,
    lanes = 8,
    keys = 128
}
