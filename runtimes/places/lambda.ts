import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { build } from 'esbuild';
import { type Place, printedResult } from '../place.ts';
import { inProject } from '../project.ts';
import { node } from './node.ts';

/** One file in a folder of its own, with nothing installed beside it. */
const place = (version: number, format: 'esm' | 'cjs'): Place => ({
  name: `one file (${format}), as for a Lambda, Node ${version}`,
  build: version < 22 ? 'simd' : 'relaxed',
  threads: 2,
  run: async () => {
    const extension = format === 'esm' ? 'mjs' : 'cjs';
    const outfile = `${mkdtempSync(`${tmpdir()}/one-file-`)}/index.${extension}`;
    await build({
      entryPoints: [inProject(`entry.${extension}`)],
      bundle: true,
      minify: true,
      platform: 'node',
      format,
      outfile,
    });
    return printedResult(node(version), [outfile]);
  },
});

export const lambdas: Place[] = [place(20, 'esm'), place(20, 'cjs'), place(24, 'esm'), place(24, 'cjs')];
