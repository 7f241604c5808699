import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

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
  for (const target of ['simd', 'relaxed']) copyFileSync(`build/${target}.wasm`, `dist/${target}.wasm`);
  run('tsc', '--project', 'scripts/declarations.json');
}

kernels();
await javascript();
