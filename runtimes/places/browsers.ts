import { existsSync, mkdirSync } from 'node:fs';
import { build } from 'esbuild';
import { type Place, start } from '../place.ts';
import { folderOf, inProject } from '../project.ts';
import { type Headers, isolation, resultOf } from '../server.ts';
import { bundle, bundlers } from './bundlers.ts';

type Browser = { name: string; program: string; command(url: string, profile: string): [string, string[]] } & Pick<
  Place,
  'build' | 'threads'
>;

const webkit = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** WebKitGTK has no relaxed SIMD, and no SharedArrayBuffer even where it says that a page is isolated. */
const browsers: Browser[] = [
  {
    name: 'Chromium',
    program: '/usr/bin/chromium',
    command: (url, profile) => [
      '/usr/bin/chromium',
      ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`, url],
    ],
    build: 'relaxed',
    threads: 2,
  },
  {
    name: 'Firefox',
    program: '/usr/bin/firefox-esr',
    command: (url, profile) => ['/usr/bin/firefox-esr', ['--headless', '--no-remote', '--profile', profile, url]],
    build: 'relaxed',
    threads: 2,
  },
  {
    name: 'WebKitGTK',
    program: webkit,
    command: (url) => ['xvfb-run', ['-a', webkit, url]],
    build: 'simd',
    threads: 1,
  },
];

type Page = {
  name: string;
  /** Makes the page's files; returns its address in the project. */
  make(): Promise<string>;
  headers?: Headers;
  threads?: number;
  build?: Place['build'];
};

const html = (head: string) => `<!doctype html>\n<meta charset="utf-8">\n<title>page</title>\n${head}\n`;
const script = '<script type="module" src="app.js"></script>';
const policy = {
  ...isolation,
  'content-security-policy':
    "default-src 'none'; connect-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
};

/** One file that loads the package as a worker of some kind would, and a page that starts it. */
async function workerPage(name: string, starts: string): Promise<string> {
  const folder = folderOf(name, { 'index.html': html(script), 'app.js': starts });
  await build({ entryPoints: [inProject('page.js')], bundle: true, outfile: `${folder}/thread.js`, format: 'iife' });
  return `${name}/index.html`;
}

const ownWorker = `import { suite } from './suite.js';
const createWorker = () => new Worker(new URL('wasm-attention/worker', import.meta.url), { type: 'module' });
const post = (result) => fetch('/result' + location.search, { method: 'POST', body: JSON.stringify(result) });
suite({ createWorker }).then(post, (error) => post({ error: String(error.stack) }));
`;

const importMap = {
  imports: {
    'wasm-attention': '/node_modules/wasm-attention/dist/index.js',
    'wasm-attention/reference': '/node_modules/wasm-attention/dist/reference.js',
  },
};

const pages: Page[] = [
  ...bundlers.map((name) => ({ name, make: () => bundle(name) })),
  {
    name: 'import map',
    make: async () => {
      const head = `<script type="importmap">${JSON.stringify(importMap)}</script>\n<script type="module" src="page.js"></script>`;
      folderOf('import-map', { 'index.html': html(head) });
      return 'import-map/index.html';
    },
  },
  { name: 'not isolated', make: () => bundle('esbuild'), headers: {}, threads: 1 },
  {
    name: 'own module',
    make: async () => {
      const folder = folderOf('own-module', {
        'index.html': html(script),
        'main.js': `globalThis.suiteOptions = { module: '/node_modules/wasm-attention/dist/simd.wasm' };
import('./page.js');
`,
      });
      await build({ entryPoints: [`${folder}/main.js`], bundle: true, outfile: `${folder}/app.js`, format: 'esm' });
      return 'own-module/index.html';
    },
    build: 'simd',
  },
  { name: 'Web Worker', make: () => workerPage('worker', "new Worker('thread.js' + location.search);") },
  {
    name: 'service worker',
    make: () => workerPage('service-worker', "navigator.serviceWorker.register('thread.js' + location.search);"),
    threads: 1,
  },
  ...['Vite', 'webpack'].map((bundler) => ({
    name: `strict CSP, own worker (${bundler})`,
    make: () => bundle(bundler, `csp-${bundler}`, { 'page.js': ownWorker }),
    headers: policy,
  })),
  { name: 'strict CSP', make: () => bundle('esbuild'), headers: policy, threads: 1 },
];

const place = (browser: Browser, page: Page): Place => ({
  name: `${browser.name}, ${page.name}`,
  build: page.build ?? browser.build,
  threads: Math.min(browser.threads, page.threads ?? browser.threads),
  get missing() {
    return existsSync(browser.program) ? undefined : browser.program;
  },
  run: async () => {
    const path = await page.make();
    const profile = inProject(`profiles/${browser.name}-${page.name}`);
    mkdirSync(profile, { recursive: true });
    return resultOf(path, (url) => start(...browser.command(url, profile)), page.headers);
  },
});

export const inBrowsers: Place[] = browsers.flatMap((browser) => pages.map((page) => place(browser, page)));
