/**
 * Whether the engine keeps a 6×8 tile of accumulators in vector registers. V8 does from 13 on (Node 24, Chrome 135); before,
 * its scheduler moved every load of the loop to the front and spilled: 34 instead of 67 GFLOP/s (measured, Node 22 and 24). No
 * WebAssembly feature tells the two apart, but Float16Array arrived with the newer one.
 */
export const tallMicroKernels = 'Float16Array' in globalThis;
