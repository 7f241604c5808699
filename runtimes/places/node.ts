import { existsSync } from 'node:fs';
import { type Place, printedResult } from '../place.ts';
import { inProject, installed } from '../project.ts';

export const node = (version: number) => installed(`node${version}/bin/node`);
const versions = [20, 22, 24, 26];

function place(name: string, command: string, args: string[], build: Place['build'] = 'relaxed'): Place {
  return {
    name,
    build,
    threads: 2,
    missing: existsSync(command) ? undefined : command,
    // Deno's cache goes by file times, which npm sets to one day of 1985.
    run: () => printedResult(command, args, { env: { ...process.env, DENO_DIR: inProject('deno') } }),
  };
}

const bun = installed('@oven/bun-linux-x64/bin/bun');
const deno = installed('@deno/linux-x64-glibc/deno');
/** Without any permission, as far as it goes: `require` looks for files. */
const denoRun = ['run', '--no-prompt', '--node-modules-dir=manual'];

const module = inProject('module.mjs');

/** Relaxed SIMD is behind a flag in Node 20. */
export const processes: Place[] = [
  ...versions.flatMap((version) => {
    const build = version < 22 ? 'simd' : 'relaxed';
    return [
      place(`Node ${version}, import`, node(version), [inProject('entry.mjs')], build),
      place(`Node ${version}, require`, node(version), [inProject('entry.cjs')], build),
    ];
  }),
  place('Bun, import', bun, [inProject('entry.mjs')]),
  place('Bun, require', bun, [inProject('entry.cjs')]),
  place('Deno, import', deno, [...denoRun, inProject('entry.mjs')]),
  place('Deno, require', deno, [...denoRun, '--allow-read', inProject('entry.cjs')]),
  place('Node 24, own module', node(24), [module], 'simd'),
  place('Bun, own module', bun, [module], 'simd'),
  place('Deno, own module', deno, [...denoRun, '--allow-read', module], 'simd'),
];
