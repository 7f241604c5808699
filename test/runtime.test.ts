import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime, createRuntimeSync, linear, type Runtime, type RuntimeOptions } from 'wasm-attention';
import { withShared } from '../src/runtime/shared.ts';
import { builds } from './support.ts';

const PAGE = 65536;
const file = new URL('../build/simd.wasm', import.meta.url);
const bytes = withShared(readFileSync(file), false);

/** 2 · 3 + 1, by a kernel. */
function computes(runtime: Runtime): void {
  runtime.scope(() => {
    const [x, w, b] = [runtime.tensor([1, 1], [2]), runtime.tensor([1, 1], [3]), runtime.tensor([1], [1])];
    expect(Array.from(linear(x, w, b).data)).toEqual([7]);
  });
}

describe('createRuntime', () => {
  it.each(builds)('makes the build %s when asked', async (build) => {
    const runtime = await createRuntime({ build });
    expect(runtime.build).toBe(build);
    computes(runtime);
    expect(createRuntimeSync({ build }).build).toBe(build);
  });

  it('takes relaxed SIMD by itself where the engine has it', async () => {
    expect(createRuntimeSync().build).toBe('relaxed');
    expect((await createRuntime()).build).toBe('relaxed');
  });

  it.each<[string, Exclude<RuntimeOptions['module'], undefined>]>([
    ['bytes', bytes],
    ['an ArrayBuffer', bytes.buffer as ArrayBuffer],
    ['a view inside a larger buffer', new Uint8Array([0, ...bytes, 0]).subarray(1, -1)],
    ['a Module', new WebAssembly.Module(bytes)],
  ])('takes %s as module, with and without a promise', async (_name, module) => {
    for (const runtime of [await createRuntime({ module }), createRuntimeSync({ module, build: 'relaxed' })]) {
      computes(runtime);
    }
    expect(createRuntimeSync({ module, build: 'relaxed' }).build).toBe('relaxed');
    expect(createRuntimeSync({ module }).build).toBe('simd');
  });

  it('takes a file URL, as URL and as string, and a Response', async () => {
    for (const module of [file, file.href, new Response(bytes)]) computes(await createRuntime({ module }));
  });

  describe('over HTTP', () => {
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/simd.wasm' ? 200 : 404;
      response.end(response.statusCode === 200 ? bytes : '<!doctype html>');
    });
    let origin = '';
    beforeAll(async () => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterAll(() => void server.close());

    it('takes a URL, and names it with the status where it is not found', async () => {
      computes(await createRuntime({ module: `${origin}/simd.wasm` }));
      await expect(createRuntime({ module: `${origin}/none.wasm` })).rejects.toThrow(/none\.wasm gave status 404/);
    });
  });

  it('takes a Module and bytes of another realm', () => {
    const there = (code: string) => runInNewContext(code, { bytes, WebAssembly });
    const buffer = there('const copy = new Uint8Array(bytes.length); copy.set(bytes); copy.buffer');
    expect(buffer instanceof ArrayBuffer).toBe(false);
    computes(createRuntimeSync({ module: buffer }));
    const module = runInNewContext('new WebAssembly.Module(bytes)', { bytes });
    expect(module instanceof WebAssembly.Module).toBe(false);
    computes(createRuntimeSync({ module }));
  });

  it.each<[string, unknown, unknown, RegExp]>([
    [
      'an unknown build',
      { build: 'fast' },
      TypeError,
      /createRuntime: "build" must be 'auto', 'simd' or 'relaxed'.*'fast'/,
    ],
    ['threads 0', { threads: 0 }, RangeError, /"threads" is 0/],
    ['threads NaN', { threads: Number.NaN }, RangeError, /"threads" is NaN/],
    ['an unknown option', { wasm: bytes }, TypeError, /createRuntime: unknown option "wasm"/],
    ['options null', null, TypeError, /"options" must be an object/],
    ['an unknown memory option', { memory: { max: 1 } }, TypeError, /unknown option "max"/],
    ['memory below a page', { memory: { maximumBytes: 100 } }, RangeError, /"memory.maximumBytes" is 100/],
    ['memory above 4 GiB', { memory: { maximumBytes: 2 ** 32 + 1 } }, RangeError, /"memory.maximumBytes"/],
    ['memory NaN', { memory: { initialBytes: Number.NaN } }, RangeError, /"memory.initialBytes" is NaN/],
    ['memory −1', { memory: { initialBytes: -1 } }, RangeError, /"memory.initialBytes" is -1/],
    ['memory of half a byte', { memory: { initialBytes: 70000.5 } }, RangeError, /"memory.initialBytes" is 70000.5/],
    [
      'initial above maximum',
      { memory: { initialBytes: 2 ** 20, maximumBytes: PAGE } },
      RangeError,
      /more than maximumBytes/,
    ],
    ['a module of the wrong kind', { module: 42 }, TypeError, /./],
    ['bytes that are no module', { module: new Uint8Array(8) }, WebAssembly.CompileError, /./],
    ['a module of others', { module: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) }, Error, /"module" has no kernels/],
  ])('refuses %s', async (_name, options, kind, message) => {
    for (const make of [createRuntime, async (given: RuntimeOptions) => createRuntimeSync(given)]) {
      const error = await make(options as RuntimeOptions).catch((reason) => reason);
      expect(error).toBeInstanceOf(kind);
      expect(error.message).toMatch(message);
    }
  });

  it('refuses to compile a URL or a Response without a promise', () => {
    expect(() => createRuntimeSync({ module: file })).toThrow(/"module" must be a WebAssembly.Module or its bytes/);
    expect(() => createRuntimeSync({ module: new Response(bytes) })).toThrow(TypeError);
    expect(() => createRuntimeSync({ module: file.href })).toThrow(TypeError);
  });

  it('keeps to its memory limits, and works again after one was reached', () => {
    const runtime = createRuntimeSync({ memory: { initialBytes: PAGE, maximumBytes: 2 * PAGE + 5 } });
    expect(runtime.memory.capacityBytes).toBe(PAGE);
    expect(() => runtime.zeros([PAGE])).toThrow(/memory limit: 262144 bytes were asked for, 0 are used and 131072/);
    expect(runtime.memory).toEqual({ usedBytes: 0, peakBytes: 0, capacityBytes: PAGE });
    computes(runtime);
    expect(createRuntimeSync({ memory: { maximumBytes: PAGE } }).memory.capacityBytes).toBe(PAGE);
  });
});

describe('Runtime.dispose', () => {
  it('lets go of the memory, and every later use says so', () => {
    const runtime = createRuntimeSync();
    const tensor = runtime.tensor([2], [1, 2]);
    const weight = runtime.zeros([2, 2]);
    runtime.dispose();
    expect([runtime.disposed, tensor.disposed]).toEqual([true, true]);
    const uses = [
      () => runtime.dispose(),
      () => runtime.memory,
      () => runtime.empty([1]),
      () => runtime.zeros([1]),
      () => runtime.tensor([1], [1]),
      () => runtime.scope(() => 1),
      () => tensor.data,
      () => tensor.set([1, 2]),
      () => tensor.toArray(),
      () => tensor.view([2]),
      () => tensor.slice(0, 1),
      () => tensor.dispose(),
      () => linear(tensor, weight),
    ];
    for (const use of uses) expect(use).toThrow(/runtime (of .* )?was disposed/);
    runtime[Symbol.dispose]();
    tensor[Symbol.dispose]();
  });

  it('is what `using` calls', () => {
    const runtime = createRuntimeSync();
    runtime[Symbol.dispose]();
    expect(runtime.disposed).toBe(true);
  });
});
