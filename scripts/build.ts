import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';
import { withShared } from '../src/runtime/shared.ts';
import { encode } from '../src/runtime/text.ts';
import { webProgram } from '../src/runtime/worker.ts';
import { difference } from './difference.ts';

const shipped = ['simd', 'relaxed'];
const entries = { index: 'src/platforms/inline.ts', reference: 'src/reference/index.ts', onnx: 'src/onnx/index.ts' };
const platforms = { 'index.workerd': 'src/platforms/workerd.ts', 'index.edge': 'src/platforms/edge.ts' };

/**
 * assembly/ → build/*.wasm and .wat, and as text for the JavaScript: the kernels of attention, and how all kernels are made of
 * them. Nothing ships the debug build, which the optimiser has not touched: the tests run on it too.
 * Its loads and stores are checked no more than the others': WebAssembly traps only beyond the memory's end.
 */
function kernels(): void {
  mkdirSync('build', { recursive: true });
  const compile = (entry: string, target: string) => {
    execFileSync('npx', ['--no-install', 'asc', `assembly/${entry}.ts`, '--target', target], { stdio: 'inherit' });
    return readFileSync(`build/${target}.wasm`);
  };
  compile('index', 'debug');
  const [attention, whole] = ['attention', 'index'].map((entry) =>
    shipped.map((build) => compile(entry, entry === 'index' ? build : `${entry}.${build}`)),
  );
  const write = (name: string, simd: unknown, relaxed: unknown) =>
    writeFileSync(`build/${name}.json`, JSON.stringify({ simd, relaxed }));
  write('attention', encode(attention[0]), difference(attention[0], attention[1]));
  write('whole', difference(attention[0], whole[0]), difference(whole[0], whole[1]));
}

/** The package has a budget. Lines stay, since Node prints the one that threw; names stay but in the CommonJS twin. */
const common: BuildOptions = {
  outdir: 'dist',
  bundle: true,
  target: 'es2022',
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 160,
  metafile: true,
  logLevel: 'warning',
};

/** Resolves what `filter` matches to another name, and leaves it for run time. */
const external = (filter: RegExp, rename: (path: string) => string): Plugin => ({
  name: 'external',
  setup: ({ onResolve }) =>
    onResolve({ filter }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path: rename(path), external: true, sideEffects: false },
    ),
});

/** src/ → dist/: one file an entry, kernels inside, and what entries share; as ES modules, and these once more as CommonJS. */
async function javascript(): Promise<void> {
  const { metafile } = await build({
    ...common,
    entryPoints: { ...entries, ...platforms },
    format: 'esm',
    platform: 'neutral',
    splitting: true,
    mainFields: ['module', 'main'],
    plugins: [external(/\.wasm/, (path) => path.replace('../../build', '.'))],
  });
  const forPlatform = new Set(Object.keys(platforms).map((name) => `dist/${name}.js`));
  await build({
    ...common,
    entryPoints: Object.keys(metafile!.outputs).filter((file) => !forPlatform.has(file)),
    format: 'cjs',
    minifyIdentifiers: true,
    platform: 'node',
    outExtension: { '.js': '.cjs' },
    plugins: [external(/^\.\//, (path) => path.replace(/\.js$/, '.cjs'))],
  });
  // Unshared: whoever imports a compiled module (an edge platform) has one thread.
  for (const target of shipped)
    writeFileSync(`dist/${target}.wasm`, withShared(readFileSync(`build/${target}.wasm`), false));
  writeFileSync('dist/worker.js', webProgram);
}

async function declarations(): Promise<void> {
  const bundle = await rollup({
    input: entries,
    plugins: [dts({ compilerOptions: { stripInternal: true } })],
    onLog: (level, { message }) => {
      // Members that only this package's own code uses have types that nobody else needs by name.
      if (level === 'warn' && !message.includes('private shared type')) throw new Error(message);
    },
  });
  // The package has a budget: editors find the documentation in the types of the ES modules.
  const withoutComments = {
    name: 'no comments',
    renderChunk: (code: string) => code.replace(/[ \t]*\/\*\*[\s\S]*?\*\/\n?/g, ''),
  };
  for (const extension of ['d.ts', 'd.cts'])
    await bundle.write({
      plugins: extension === 'd.cts' ? [withoutComments] : [],
      dir: 'dist',
      entryFileNames: `[name].${extension}`,
      chunkFileNames: `chunk-[hash].${extension}`,
    });
  await bundle.close();
  writeFileSync('dist/worker.d.ts', 'export {};\n');
}

kernels();
rmSync('dist', { recursive: true, force: true });
await javascript();
await declarations();
