import { fileURLToPath } from 'node:url';
import type { ElementHandle, Page } from 'puppeteer-core';
import { createServer, preview } from 'vite';
import type { Playground } from '../src/main.ts';
import { type BrowserName, launch } from './browsers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The page, served from this machine: as built, so but without the headers that isolate it, or by the development server. */
export async function serve(kind: 'built' | 'not isolated' | 'development') {
  const configFile = kind === 'not isolated' ? false : undefined;
  const options = { root, configFile, logLevel: 'error', preview: { port: 0 }, server: { port: 0 } } as const;
  const server = await (kind === 'development'
    ? createServer(options).then((made) => made.listen())
    : preview(options));
  const { port } = server.httpServer!.address() as { port: number };
  return { url: `http://localhost:${port}/`, close: () => server.close() };
}

export type Opened = { page: Page; problems: string[]; requests: string[]; close: () => Promise<void> };

/** A browser with the page open; `problems` gathers errors and warnings, `requests` what was fetched. */
export async function open(name: BrowserName, url: string): Promise<Opened> {
  const browser = await launch(name);
  const page = await browser.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.setViewport({ width: 1100, height: 900 });
  await page.goto(url);
  await until(page, '#engine', (text) => text.startsWith('Computing'));
  return { page, problems, requests, close: () => browser.close() };
}

export const text = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (element) => element.textContent ?? '');

/** A canvas's pixels as bytes, four a pixel, and how many pixels one of the page's is. */
export const pixels = (page: Page, selector: string): Promise<{ data: number[]; width: number; ratio: number }> =>
  page.$eval(selector, (element) => {
    const canvas = element as HTMLCanvasElement;
    const { data, width } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    return { data: Array.from(data), width, ratio: width / canvas.getBoundingClientRect().width };
  });

/** Waits until the element's text holds. */
export async function until(page: Page, selector: string, holds: (text: string) => boolean): Promise<string> {
  for (let tries = 0; tries < 1000; tries++) {
    const now = await text(page, selector);
    if (holds(now)) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${selector} still says "${await text(page, selector)}"`);
}

export async function click(page: Page, selector: string): Promise<void> {
  const element = (await page.$(selector)) as ElementHandle;
  await element.scrollIntoView();
  await element.click();
}

export async function loadEncoder(page: Page): Promise<void> {
  await click(page, '#load');
  await until(page, '#loaded', (now) => now.includes('tokens'));
}

export type Shown = { token: string; score: string; weight: number }[];

/** The table of the token shown. */
export const shownRow = (page: Page): Promise<Shown> =>
  page.$$eval('#row tr', (rows) =>
    rows.map((row) => ({
      token: row.children[0].textContent ?? '',
      score: row.children[1].textContent ?? '',
      weight: Number(row.querySelector('.weight')?.textContent),
    })),
  );

export type Asked = {
  text: string;
  /** JavaScript of (i, j, n): whether query i sees key j. */
  visible: string;
  sinusoidal?: boolean;
  alibi?: boolean;
  rotary?: boolean;
};

/** Weights of every layer and head [layers][heads · n · n], by the library called in the page, with the mask as a boolean tensor. */
export const computed = (page: Page, asked: Asked): Promise<{ n: number; layers: number[][]; hidden: boolean[] }> =>
  page.evaluate(({ text, visible, sinusoidal, alibi, rotary }) => {
    const { wasmAttention, runtime, model } = (globalThis as unknown as { playground: Playground }).playground;
    const { encoder, tokenize } = model!;
    const { ids } = tokenize(text);
    const n = ids.length;
    const see = new Function('i', 'j', 'n', `return ${visible}`);
    const pairs = Array.from({ length: n * n }, (_, at) => Boolean(see(Math.floor(at / n), at % n, n)));
    const layers: number[][] = [];
    const mask = runtime.tensor([1, 1, n, n], pairs, 'boolean');
    const alibiSlopes = alibi ? wasmAttention.alibiSlopes(4) : undefined;
    const observe = (layer: number, weights: { data: Float32Array }) => {
      layers[layer] = Array.from(weights.data);
    };
    encoder.embed([ids], observe, { mask, alibiSlopes, sinusoidal, rotary }).dispose();
    mask.dispose();
    return { n, layers, hidden: pairs.map((pair) => !pair) };
  }, asked);
