import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { instantiateSync } from '@assemblyscript/loader';
import { buildSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { attentionBinary } from '../src/runtime/binaries.ts';
import { wholeBinary } from '../src/runtime/whole.ts';
import { builds } from './support.ts';

const KB = 1024;
const cwd = new URL('..', import.meta.url);

/** What a minified app with this program downloads, gzipped. */
function downloaded(program: string): number {
  const { outputFiles } = buildSync({
    stdin: { contents: program, resolveDir: cwd.pathname },
    alias: { 'wasm-attention': './dist/index.js' },
    absWorkingDir: cwd.pathname,
    bundle: true,
    minify: true,
    logLevel: 'error',
    write: false,
    format: 'esm',
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

describe('the package', () => {
  it.each(builds)('has the %s build as it was compiled, in the JavaScript', (build) => {
    const compiled = (name: string) => readFileSync(new URL(`build/${name}.wasm`, cwd));
    expect(Buffer.compare(attentionBinary(build), compiled(`attention.${build}`))).toBe(0);
    expect(Buffer.compare(wholeBinary(attentionBinary('simd'), build), compiled(build))).toBe(0);
  });

  it.each(builds)('has a small %s build', (build) => {
    expect(statSync(new URL(`dist/${build}.wasm`, cwd)).size).toBeLessThanOrEqual(64 * KB);
  });

  it('is small when it is installed', () => {
    const [{ unpackedSize }] = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd, encoding: 'utf8' }),
    );
    expect(unpackedSize).toBeLessThanOrEqual(1e6);
  });

  it('is small in an app, with both builds inside', () => {
    const attention = "export { createRuntime, scaledDotProductAttention } from 'wasm-attention';";
    expect(downloaded(attention)).toBeLessThanOrEqual(25 * KB);
    expect(downloaded("export * from 'wasm-attention';")).toBeLessThanOrEqual(68 * KB);
  });

  it.each(builds)('has a %s build that the AssemblyScript loader takes too', (build) => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
    const { exports } = instantiateSync(readFileSync(new URL(`dist/${build}.wasm`, cwd)), { env: { memory } });
    expect((exports.exp as (x: number) => number)(0)).toBe(1);
  });

  it('imports nothing but memory into the kernels', () => {
    for (const build of builds) {
      const imports = WebAssembly.Module.imports(
        new WebAssembly.Module(readFileSync(new URL(`dist/${build}.wasm`, cwd))),
      );
      expect(imports).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
    }
  });

  it('has no runtime dependencies and no install scripts', () => {
    const { dependencies, scripts } = JSON.parse(readFileSync(new URL('package.json', cwd), 'utf8'));
    expect(dependencies).toBeUndefined();
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) expect(scripts).not.toHaveProperty(name);
  });
});
