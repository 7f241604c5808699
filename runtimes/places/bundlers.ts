import { writeFileSync } from 'node:fs';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build } from 'esbuild';
import { rollup } from 'rollup';
import { build as vite } from 'vite';
import webpack from 'webpack';
import { output } from '../place.ts';
import { folderOf, inProject, installed } from '../project.ts';

const html = (source: string) =>
  `<!doctype html>\n<title>page</title>\n<script type="module" src="${source}"></script>\n`;

/** Each as it comes, without configuration; they write `<folder>/out`. */
const make: Record<string, (folder: string) => Promise<unknown>> = {
  esbuild: (folder) =>
    build({
      entryPoints: [`${folder}/page.js`],
      bundle: true,
      minify: true,
      format: 'esm',
      outfile: `${folder}/out/app.js`,
    }),

  Rollup: async (folder) => {
    const bundled = await rollup({ input: `${folder}/page.js`, plugins: [nodeResolve({ browser: true })] });
    await bundled.write({ file: `${folder}/out/app.js`, format: 'es' });
  },

  webpack: (folder) =>
    new Promise((resolve, reject) => {
      webpack(
        {
          mode: 'production',
          context: folder,
          entry: './page.js',
          output: { path: `${folder}/out`, filename: 'app.js' },
        },
        (error, stats) => {
          if (error || stats?.hasErrors()) reject(error ?? new Error(stats!.toString('errors-only')));
          else resolve(stats);
        },
      );
    }),

  Vite: (folder) => vite({ root: folder, base: './', logLevel: 'error', build: { outDir: 'out' }, configFile: false }),

  Parcel: async (folder) => {
    // Its resolver does not look at "exports", so that it finds an entry, but no subpath.
    await build({
      entryPoints: [`${folder}/suite.js`],
      bundle: true,
      format: 'esm',
      alias: { 'wasm-attention/reference': inProject('node_modules/wasm-attention/dist/reference.js') },
      external: ['wasm-attention'],
      outfile: `${folder}/suite.js`,
      allowOverwrite: true,
    });
    const parcel = installed('parcel/lib/bin.js');
    await output(
      process.execPath,
      [parcel, 'build', 'index.html', '--dist-dir', 'out', '--public-url', './', '--no-cache'],
      {
        cwd: folder,
      },
    );
  },
};

export const bundlers = Object.keys(make);
const made = new Map<string, Promise<string>>();

/** Bundles the suite once, for every browser, with these files besides; returns the page's address in the project. */
export function bundle(bundler: string, folder = bundler, files: Record<string, string> = {}): Promise<string> {
  const path = made.get(folder) ?? bundleNow(bundler, folder, files);
  made.set(folder, path);
  return path;
}

async function bundleNow(bundler: string, name: string, files: Record<string, string>): Promise<string> {
  const folder = folderOf(name, { 'index.html': html('./page.js'), ...files });
  await make[bundler](folder);
  if (bundler !== 'Vite' && bundler !== 'Parcel') writeFileSync(`${folder}/out/index.html`, html('./app.js'));
  return `${name}/out/index.html`;
}
