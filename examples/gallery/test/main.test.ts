import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const tsx = createRequire(import.meta.url).resolve('tsx/cli');
const folder = fileURLToPath(new URL('..', import.meta.url));

/** Runs the program on the built package, as `npm run example` does. */
const run = (name: string) =>
  spawnSync(process.execPath, [tsx, 'src/main.ts', name], { cwd: folder, encoding: 'utf8' });

it('every example has a command, and a row in the README', () => {
  const { status, stderr } = run('nothing');
  expect(status).toBe(2);
  const names = stderr.match(/There are (.*)\./)![1].split(', ');
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(Object.keys(scripts).filter((name) => name !== 'check')).toEqual(names);
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  expect([...readme.matchAll(/^\| `(\w+)` +\|/gm)].map((row) => row[1])).toEqual(names);
});

it('prints what it did', () => {
  const { status, stdout, stderr } = run('diffusion');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/100\.0 % are what was planted.*\((simd|relaxed) build, \d+ threads\)\n$/s);
});
