import { readFileSync } from 'node:fs';
import { output, type Place } from '../place.ts';
import { folderOf, inProject, installed } from '../project.ts';
import type { Result } from '../suite.ts';

const save = (folder: string) => `require('node:fs').writeFileSync('${folder}/result.json', JSON.stringify(result))`;

/** A test in the runner's plain configuration, in the Node that runs this; it saves its result. */
function place(name: string, program: string, args: string[], test: (folder: string) => Record<string, string>): Place {
  const relaxed = Number(process.versions.node.split('.')[0]) >= 22;
  return {
    name,
    build: relaxed ? 'relaxed' : 'simd',
    threads: 2,
    run: async () => {
      const folder = inProject(name);
      folderOf(name, { 'package.json': '{}', ...test(folder) });
      await output(process.execPath, [installed(program), ...args], { cwd: folder });
      return JSON.parse(readFileSync(`${folder}/result.json`, 'utf8')) as Result;
    },
  };
}

export const testRunners: Place[] = [
  place('Jest', 'jest/bin/jest.js', ['--testTimeout=60000'], (folder) => ({
    'suite.test.js': `test('suite', async () => { const result = await require('./suite.cjs').suite(); ${save(folder)}; });`,
  })),
  place('Vitest', 'vitest/vitest.mjs', ['run', '--testTimeout=60000'], (folder) => ({
    'suite.test.mjs': `import { createRequire } from 'node:module';
import { test } from 'vitest';
import { suite } from './suite.mjs';
const require = createRequire(import.meta.url);
test('suite', async () => { const result = await suite(); ${save(folder)}; });`,
    // Without one it takes that of a folder above.
    'vitest.config.mjs': 'export default {};',
    'suite.mjs': readFileSync(inProject('suite.js'), 'utf8'),
  })),
];
