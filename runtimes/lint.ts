import { output } from './place.ts';
import { installed } from './project.ts';

/** Not code, and a worker's program, which is no module to import. TypeScript's `node10` knows no subpaths at all. */
const excluded = ['simd.wasm', 'relaxed.wasm', 'worker'];

const linters = {
  publint: ['run', '--strict'],
  attw: ['--profile', 'node16', '--exclude-entrypoints', ...excluded, '--'],
};

/** What publint and are-the-types-wrong have against the package; nothing, if all is well. */
export async function lint(tarball: string): Promise<string[]> {
  const complaints: string[] = [];
  for (const [name, args] of Object.entries(linters)) {
    try {
      await output(installed(`.bin/${name}`), [...args, tarball]);
      console.error(`${name}: ok`);
    } catch (error) {
      complaints.push(String(error));
    }
  }
  return complaints;
}
