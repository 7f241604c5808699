import type { Kernel } from '../../assembly/params.ts';
import { builtin } from './node.ts';

/** The kernels as `createRuntime({ module })` takes them: compiled, as bytes, as a response, or by address. */
export type ModuleSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** The functions of `assembly/attention.ts`; every address is a byte offset in linear memory. */
export type AttentionKernels = {
  heapBase: { value: number };
  scratchBytes(kernel: Kernel, params: number): number;
  run(
    kernel: Kernel,
    params: number,
    tasks: number,
    scratch: number,
    scratchBytes: number,
    helpers: number,
    maySleep: boolean,
  ): number;
  finish(maySleep: boolean): number;
  abandon(): void;
  goOn(next: number): void;
  tileScores(scratch: number): number;
  modOpen(params: number, task: number, scratch: number): number;
  modTile(params: number, scratch: number, start: number, end: number): number;
  modScores(params: number, scratch: number, group: number, run: number, start: number, keys: number): number;
  modSoftmax(
    params: number,
    scratch: number,
    group: number,
    run: number,
    key: number,
    keys: number,
    lanes: number,
    final: boolean,
  ): void;
  modNormalize(params: number, scratch: number, group: number): void;
  modMask(params: number, scratch: number, group: number, run: number, key: number, keys: number, lanes: number): void;
  modAccumulate(params: number, scratch: number, group: number, key: number, keys: number, minding: boolean): void;
  modClose(params: number, scratch: number, group: number): number;
  combine(
    output: number,
    lse: number,
    states: number,
    statesLse: number,
    rows: number,
    splits: number,
    dim: number,
    rowStride: number,
  ): void;
  merge(
    output: number,
    lse: number,
    other: number,
    otherLse: number,
    rows: number,
    dim: number,
    rowStride: number,
  ): void;
};

/** The functions of `assembly/index.ts`. */
export type Kernels = AttentionKernels & {
  softmax(data: number, rows: number, length: number, sink: number): void;
  exp(x: number): number;
  log(x: number): number;
  sin(x: number): number;
  cos(x: number): number;
  angles(params: number): void;
  rope(params: number, task: number): void;
  normalize(
    output: number,
    input: number,
    weight: number,
    bias: number,
    rows: number,
    dim: number,
    epsilon: number,
    centered: boolean,
  ): void;
  gate(gates: number, input: number, rows: number, dim: number): void;
  copyRows(output: number, input: number, rows: number, bytes: number, outputStride: number, inputStride: number): void;
};

/** By its tag, since a module of another realm is no `instanceof` ours. */
export function isModule(source: unknown): boolean {
  return Object.prototype.toString.call(source) === '[object WebAssembly.Module]';
}

/** A module that the caller brings, from wherever it is: its bytes, unless it is compiled. */
export async function fetchModule(source: ModuleSource): Promise<WebAssembly.Module | BufferSource> {
  if (typeof source === 'string' || source instanceof URL) {
    const url = new URL(source, globalThis.location?.href);
    const files = url.protocol === 'file:' ? builtin<typeof import('node:fs/promises')>('node:fs/promises') : undefined;
    if (files) return files.readFile(url);
    const response = await fetch(url);
    if (!response.ok) throw new Error(`createRuntime: ${url} gave status ${response.status}`);
    return fetchModule(response);
  }
  if (typeof Response !== 'undefined' && source instanceof Response) return source.arrayBuffer();
  return source as WebAssembly.Module | BufferSource;
}

export function bytesOf(source: BufferSource): Uint8Array {
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): AttentionKernels {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as AttentionKernels;
}
