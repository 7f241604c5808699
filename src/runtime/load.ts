import { instantiateSync } from '@assemblyscript/loader';
import { binaries } from './binaries.ts';

export type Build = 'simd' | 'relaxed';
export type ModuleSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** The functions of `assembly/index.ts`; every address is a byte offset in linear memory. */
export type Kernels = {
  heapBase: { value: number };
  flash(params: number, task: number, scratch: number): void;
  flashScratchBytes(params: number): number;
  scores(params: number, task: number, scratch: number): void;
  scoresScratchBytes(params: number): number;
  softmax(data: number, rows: number, length: number, sink: number): void;
  linear(params: number, task: number, scratch: number): void;
  linearScratchBytes(params: number): number;
  angles(params: number): void;
  rope(params: number, task: number): void;
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

const compiled = new Map<Build, WebAssembly.Module>();

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The best build that this engine compiles: the module itself is the feature test. */
export function compileBuild(build: Build | 'auto'): { build: Build; module: WebAssembly.Module } {
  const candidates: Build[] = build === 'auto' ? ['relaxed', 'simd'] : [build];
  let reason: unknown;
  for (const candidate of candidates) {
    try {
      let module = compiled.get(candidate);
      module ??= new WebAssembly.Module(decode(binaries[candidate]));
      compiled.set(candidate, module);
      return { build: candidate, module };
    } catch (error) {
      reason = error;
    }
  }
  const feature = build === 'relaxed' ? 'relaxed SIMD' : '128-bit SIMD';
  throw new Error(`createRuntime: this engine cannot run the build '${build}': WebAssembly ${feature} is missing`, {
    cause: reason,
  });
}

/** By its tag, since a module of another realm is no `instanceof` ours. */
export function isModule(source: unknown): boolean {
  return Object.prototype.toString.call(source) === '[object WebAssembly.Module]';
}

/** Compiles a module that the caller brings: its own copy of a build, from memory or over the network. */
export async function compileSource(source: ModuleSource): Promise<WebAssembly.Module> {
  if (isModule(source)) return source as WebAssembly.Module;
  if (typeof source === 'string' || source instanceof URL) {
    const url = new URL(source, globalThis.location?.href);
    if (url.protocol === 'file:') {
      const { readFile } = await import('node:fs/promises');
      return WebAssembly.compile(await readFile(url));
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`createRuntime: ${url} gave status ${response.status}`);
    return compileSource(response);
  }
  if (typeof Response !== 'undefined' && source instanceof Response) {
    return WebAssembly.compile(await source.arrayBuffer());
  }
  return WebAssembly.compile(source as BufferSource);
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const imports = { env: { memory } };
  // The loader knows a module by instanceof, and takes one of another realm for bytes.
  const own = module instanceof WebAssembly.Module;
  return (own ? instantiateSync(module, imports) : new WebAssembly.Instance(module, imports))
    .exports as unknown as Kernels;
}
