import { readFileSync } from 'node:fs';
import { EdgeRuntime } from 'edge-runtime';
import { build, type Plugin } from 'esbuild';
import { type Place, servedResult, start } from '../place.ts';
import { folderOf, inProject, installed } from '../project.ts';
import type { Result } from '../suite.ts';
import { node } from './node.ts';

const workers: Place = {
  name: 'Cloudflare Workers (wrangler, workerd)',
  build: 'relaxed',
  threads: 1,
  run: async () => {
    const folder = folderOf('workers', {
      'worker.js': readFileSync(inProject('worker.js'), 'utf8'),
      'wrangler.json': JSON.stringify({ name: 'suite', main: 'worker.js', compatibility_date: '2026-01-01' }),
    });
    const env = { ...process.env, HOME: folder, CI: '1', WRANGLER_SEND_METRICS: 'false' };
    return servedResult('/', (port) => {
      const args = [installed('wrangler/bin/wrangler.js'), 'dev', '--port', `${port}`, '--inspector-port', '0'];
      return start(node(24), args, { cwd: folder, env });
    });
  },
};

/** As Vercel's builder does: a module that is imported with `?module` is compiled by the host, which hands it in as a global. */
const hostModules: Plugin = {
  name: 'modules of the host',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\.wasm\?module$/ }, ({ path }) => ({ path, namespace: 'host' }));
    onLoad({ filter: /.*/, namespace: 'host' }, ({ path }) => ({
      contents: `export default globalThis[${JSON.stringify(path)}];`,
    }));
  },
};

const edgeRuntime: Place = {
  name: 'edge-runtime',
  build: 'simd',
  threads: 1,
  run: async () => {
    const bundled = await build({
      entryPoints: [inProject('edge.js')],
      bundle: true,
      write: false,
      format: 'iife',
      conditions: ['edge-light'],
      plugins: [hostModules],
    });
    const simd = new WebAssembly.Module(readFileSync(inProject('node_modules/wasm-attention/dist/simd.wasm')));
    const runtime = new EdgeRuntime({
      initialCode: bundled.outputFiles[0].text,
      extend: (context) => Object.assign(context, { './simd.wasm?module': simd }),
    });
    const response = await runtime.dispatchFetch('http://localhost');
    return (await response.json()) as Result;
  },
};

export const onEdges: Place[] = [workers, edgeRuntime];
