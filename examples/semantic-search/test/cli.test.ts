import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const tsx = createRequire(import.meta.url).resolve('tsx/cli');
const example = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'semantic-search-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the program on the built package, as `npm run demo` does, called in `folder`. */
function demo(args: string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsx, 'src/main.ts', ...args], {
    cwd: example,
    input,
    encoding: 'utf8',
    env: { ...process.env, INIT_CWD: folder, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  return { status, stdout, stderr };
}

const questions = (stdout: string) => stdout.split('\n').filter((line) => line.startsWith('? '));
const bestHits = (stdout: string) => stdout.split('\n').filter((line) => line.startsWith('   1  '));

it('answers its own queries when there is none', () => {
  const { status, stdout, stderr } = demo([]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(questions(stdout).length).toBe(3);
  expect(bestHits(stdout)[0]).toContain('The whale can only live by inhaling the disengaged air');
  expect(stdout).toMatch(/\((simd|relaxed) build\): \d+ sentences, \d+ tokens in \d+ ms/);
});

it('answers arguments, and does not read standard input then', () => {
  const { status, stdout } = demo(['How do whales breathe?', 'Are railways punctual?', '--top', '2'], 'ignored\n');
  expect(status).toBe(0);
  expect(questions(stdout)).toEqual(['? How do whales breathe?', '? Are railways punctual?']);
  expect(stdout.split('\n').filter((line) => /^ {3}\d {2}/.test(line)).length).toBe(4);
});

it('answers the lines of a pipe, over sentences of a file, with the simd build', () => {
  writeFileSync(join(folder, 'mine.txt'), 'Bread is baked in an oven.\r\n\r\nThe moon goes around the earth.\r\n');
  const args = ['--corpus', 'mine.txt', '--build', 'simd'];
  const { status, stdout } = demo(args, 'astronomy of satellites\n\nhow to make a loaf\n');
  expect(status).toBe(0);
  expect(questions(stdout)).toEqual(['? astronomy of satellites', '? how to make a loaf']);
  expect(bestHits(stdout)[0]).toContain('The moon goes around the earth.');
  expect(bestHits(stdout)[1]).toContain('Bread is baked in an oven.');
  expect(stdout).toContain('(simd build): 4 sentences');
});

it('draws the heatmap in the terminal and as a file', () => {
  const args = ['How do whales breathe?', '--heatmap', '--svg', 'map.svg', '--layer', '2', '--head', '3'];
  const { status, stdout } = demo(args);
  expect(status).toBe(0);
  expect(stdout).toContain('attention in %, layer 2, head 3 of 4');
  expect(stdout).toMatch(/^ {2}6 ▁breath( +(\d+|·)){8}/m);
  expect(readFileSync(join(folder, 'map.svg'), 'utf8')).toMatch(/^<svg .*▁breath.*<\/svg>\n$/s);
});

it('tells its options', () => {
  const { status, stdout } = demo(['--help']);
  expect(status).toBe(0);
  for (const option of ['corpus', 'top', 'heatmap', 'svg', 'layer', 'head', 'build', 'help'])
    expect(stdout).toContain(`--${option}`);
});

it.each([
  [['--nonsense'], /Unknown option '--nonsense'/],
  [['--top', '0'], /--top is "0", but must be a whole number from 1/],
  [['--heatmap', '--layer', '3'], /--layer is "3", but must be a whole number from 1 to 2/],
  [['--head', '1'], /--layer and --head choose what --heatmap or --svg shows/],
  [['--build', 'fast'], /--build is "fast", but must be simd, relaxed or auto/],
  [['--corpus', 'missing.txt'], /ENOENT.*missing\.txt/],
  [['--svg', 'no/such/folder/map.svg', 'x'], /ENOENT.*map\.svg/],
  [[' '], /a query is empty/],
])('refuses %j', (args, message) => {
  const { status, stderr } = demo(args);
  expect(stderr).toMatch(message);
  expect(stderr).not.toContain('    at ');
  expect(status).toBe(2);
});
