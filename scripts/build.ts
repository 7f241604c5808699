import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { withShared } from '../src/runtime/shared.ts';
import { program } from '../src/runtime/worker.ts';

const run = (command: string, ...args: string[]) =>
  execFileSync('npx', ['--no-install', command, ...args], { stdio: 'inherit' });

/**
 * assembly/ → build/*.wasm and .wat. Nothing ships the debug build, which the optimiser has not touched: the tests run on it too.
 * Its loads and stores are checked no more than the others': WebAssembly traps only beyond the memory's end.
 */
function kernels(): void {
  mkdirSync('build', { recursive: true });
  for (const target of ['simd', 'relaxed', 'debug']) run('asc', '--target', target);
}

/** src/ → dist/: one file an entry, kernels and loader inlined, so that no bundler has to find anything. */
async function javascript(): Promise<void> {
  rmSync('dist', { recursive: true, force: true });
  await build({
    entryPoints: {
      index: 'src/index.ts',
      'reference/index': 'src/reference/index.ts',
      'onnx/index': 'src/onnx/index.ts',
    },
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    external: ['node:*'],
    loader: { '.wasm': 'base64' },
    sourcemap: true,
    mainFields: ['module', 'main'],
    logLevel: 'warning',
  });
  // Unshared: whoever imports a compiled module (an edge platform) has one thread.
  for (const target of ['simd', 'relaxed'])
    writeFileSync(`dist/${target}.wasm`, withShared(readFileSync(`build/${target}.wasm`), false));
  writeFileSync('dist/worker.js', program);
  run('tsc', '--project', 'scripts/declarations.json');
}

kernels();
await javascript();
