import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** A project that has nothing but the packed tarball and the programs that use it. */
export const project = fileURLToPath(new URL('build', import.meta.url));
export const root = fileURLToPath(new URL('..', import.meta.url));
export const inProject = (name: string) => `${project}/${name}`;
export const installed = (name: string) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url));

const programs = {
  'entry.mjs': `import { suite } from './suite.js';\nsuite().then((result) => console.log(JSON.stringify(result)));\n`,
  'entry.cjs': `require('./suite.cjs').suite().then((result) => console.log(JSON.stringify(result)));\n`,
  'module.mjs': `import { suite } from './suite.js';
const module = import.meta.resolve('wasm-attention/simd.wasm');
suite({ module }).then((result) => console.log(JSON.stringify(result)));
`,
  // Of a page, a worker and a service worker: the address says whose result it is.
  'page.js': `import { suite } from './suite.js';
const post = (result) => fetch('/result' + location.search, { method: 'POST', body: JSON.stringify(result) });
suite(globalThis.suiteOptions).then(post, (error) => post({ error: String(error.stack) }));
`,
  'worker.js': `import { suite } from './suite.js';
export default { async fetch() { return Response.json(await suite()); } };
`,
  'edge.js': `import { suite } from './suite.js';
addEventListener('fetch', (event) => event.respondWith(suite().then((result) => Response.json(result))));
`,
};

/** Packs the package, installs the tarball into the project and writes the programs there. */
export async function prepare(): Promise<string> {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project);
  const pack = execFileSync('npm', ['pack', '--silent', '--pack-destination', project], {
    cwd: root,
    encoding: 'utf8',
  });
  const tarball = pack.trim().split('\n').at(-1)!;
  writeFileSync(inProject('package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', `./${tarball}`], { cwd: project });
  // Bundlers would go on to those of the folders above, whose paths lead into src/.
  writeFileSync(inProject('tsconfig.json'), '{}');
  for (const [name, text] of Object.entries(programs)) writeFileSync(inProject(name), text);
  const suite = fileURLToPath(new URL('suite.ts', import.meta.url));
  await build({ entryPoints: [suite], outfile: inProject('suite.js'), format: 'esm' });
  await build({ entryPoints: [suite], outfile: inProject('suite.cjs'), format: 'cjs' });
  return inProject(tarball);
}

/** A folder of the project with the suite and some of the programs. */
export function folderOf(name: string, files: Record<string, string> = {}): string {
  const folder = inProject(name);
  mkdirSync(folder, { recursive: true });
  for (const file of ['suite.js', 'suite.cjs', 'page.js']) cpSync(inProject(file), `${folder}/${file}`);
  for (const [file, text] of Object.entries(files)) writeFileSync(`${folder}/${file}`, text);
  return folder;
}
