import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BrowserName, browsers, isInstalled } from './browsers.ts';
import {
  type Asked,
  click,
  computed,
  loadEncoder,
  type Opened,
  open,
  pixels,
  serve,
  shownRow,
  text,
  until,
} from './page.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const sentence = 'I love to sail forbidden seas, and land on barbarous coasts.';

/** Each mask of the page, with a reach of 2, told once more. */
const visible: Record<string, string> = {
  full: 'true',
  causal: 'j <= i',
  window: 'Math.abs(i - j) <= 2',
  longformer: 'Math.abs(i - j) <= 2 || i === 0 || j === 0',
  dilated: 'Math.abs(i - j) <= 4 && (i - j) % 2 === 0',
  chunked: '(i >> 1) === (j >> 1)',
  prefix: 'j <= i || j < 2',
  documents: '(i < Math.ceil(n / 2)) === (j < Math.ceil(n / 2))',
};

const names = Object.keys(browsers) as BrowserName[];
const missing = names.filter((name) => !isInstalled(name));

describe.skip.each(missing)('%s', () => it('is not installed', () => {}));

describe.each(names.filter((name) => !missing.includes(name)))('%s', (name) => {
  let server: Awaited<ReturnType<typeof serve>>;
  let opened: Opened;
  beforeAll(async () => {
    server = await serve('built');
    opened = await open(name, server.url);
  });
  afterAll(async () => {
    await opened?.close();
    await server?.close();
  });

  it('is usable before the encoder is loaded, and says what computes', async () => {
    const { page, requests } = opened;
    expect(await text(page, '#engine')).toMatch(/^Computing with the (relaxed|plain) SIMD build on \d+ threads?/);
    const weights = await page.$$eval('#softmax .weight', (found) => found.map((one) => Number(one.textContent)));
    const sum = Math.exp(2) + Math.exp(1) + Math.exp(-1);
    expect(weights).toEqual([2, 1, -1].map((score) => Number((Math.exp(score) / sum).toFixed(3))));
    expect(requests.filter((url) => /shard/.test(url))).toEqual([]);
  });

  it('loads the encoder on a click', async () => {
    const { page } = opened;
    await loadEncoder(page);
    expect(await page.$eval('#load', (button) => (button as HTMLElement).hidden)).toBe(true);
    await page.select('#examples', sentence);
    expect(await page.$eval('#text', (area) => (area as HTMLTextAreaElement).value)).toBe(sentence);
  });

  const compare = async (asked: Asked) => {
    const { page } = opened;
    const { n, layers, hidden } = await computed(page, asked);
    for (const [layer, head, token] of [
      [0, 0, 0],
      [0, 3, n - 1],
      [1, 2, 4],
    ]) {
      await click(page, `input[name=head][aria-label="layer ${layer + 1}, head ${head + 1}"]`);
      await click(page, `#tokens li:nth-child(${token + 1}) button`);
      const row = await shownRow(page);
      expect(row.length).toBe(n);
      row.forEach(({ score, weight }, j) => {
        expect(Math.abs(weight - layers[layer][(head * n + token) * n + j])).toBeLessThanOrEqual(0.5001e-4);
        expect(score === 'hidden').toBe(hidden[token * n + j]);
      });
    }
  };

  it.each(Object.entries(visible))('shows what the library computes: mask %s', async (mask, pairs) => {
    const { page } = opened;
    await page.select('#mask', mask);
    expect(await page.$eval('#untrained', (note) => (note as HTMLElement).hidden)).toBe(mask === 'full');
    await compare({ text: sentence, visible: pairs });
  });

  it('hides blocks of BigBird, others for each head', async () => {
    const { page } = opened;
    await page.select('#mask', 'bigBird');
    const hidden: string[] = [];
    for (const head of [1, 2, 3, 4]) {
      await click(page, `input[name=head][aria-label="layer 1, head ${head}"]`);
      await click(page, '#tokens li:nth-child(7) button');
      const row = await shownRow(page);
      expect(row.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 2);
      for (const { score, weight } of row) if (score === 'hidden') expect(weight).toBe(0);
      hidden.push(row.map(({ score }) => (score === 'hidden' ? 'x' : '.')).join(''));
    }
    expect(hidden.every((row) => row.includes('x'))).toBe(true);
    expect(new Set(hidden).size).toBeGreaterThan(1);
    await page.select('#mask', 'full');
  });

  it.each([
    ['#sinusoidal', { sinusoidal: false }],
    ['#alibi', { alibi: true }],
    ['#rope', { rotary: true }],
  ])('shows what the library computes: positions %s', async (box, asked) => {
    const { page } = opened;
    await click(page, box);
    expect(await page.$eval('#untrained', (note) => (note as HTMLElement).hidden)).toBe(false);
    await compare({ text: sentence, visible: 'true', ...asked });
    await click(page, box);
  });

  it('paints each pair between two colours by its weight', async () => {
    const { page } = opened;
    const [ground, heat] = ['eef1f6', '1c3f94'].map((hex) => Array.from(Buffer.from(hex, 'hex')));
    const accent = Array.from(Buffer.from('2450b0', 'hex'));
    await click(page, 'input[name=head][aria-label="layer 1, head 1"]');
    const { n, layers } = await computed(page, { text: sentence, visible: 'true' });
    const most = Math.max(...layers[0].slice(0, n * n));
    const canvas = (await page.$('#heatmap'))!;
    await canvas.scrollIntoView();
    const { data, width, ratio } = await pixels(page, '#heatmap');
    const { x, y, width: side } = (await canvas.boundingBox())!;
    let compared = 0;
    for (let at = 0; at < 40; at++) {
      const [left, top] = [0.381, 0.617].map((step) => Math.round(side * (0.25 + 0.7 * ((at * step) % 1))));
      await page.mouse.move(x + left, y + top);
      const weight = Number(/: (\d\.\d+)$/.exec(await text(page, '#cell'))?.[1]);
      const start = 4 * (Math.floor((top + 0.5) * ratio) * width + Math.floor((left + 0.5) * ratio));
      const [red, green, blue, alpha] = data.slice(start, start + 4);
      // The gap between cells, and the frame of the row.
      if (alpha < 255 || [red, green, blue].join() === accent.join()) continue;
      compared++;
      [red, green, blue].forEach((part, c) => {
        const expected = ground[c] + (weight / most) * (heat[c] - ground[c]);
        expect(Math.abs(part - expected), `${weight} of ${most}`).toBeLessThanOrEqual(2);
      });
    }
    expect(compared).toBeGreaterThan(25);
  });

  it('follows what is typed', async () => {
    const { page } = opened;
    await click(page, '#text');
    await page.keyboard.down('Control');
    await page.keyboard.press('KeyA');
    await page.keyboard.up('Control');
    await page.keyboard.type('Whales sing.');
    const tokens = await page.$$eval('#tokens button', (found) => found.map((one) => one.textContent));
    expect(tokens.join('')).toBe('▁Whales▁sing.');
    expect((await shownRow(page)).map(({ token }) => token)).toEqual(tokens);
  });

  it('works by keyboard: tokens, heads, sliders', async () => {
    const { page } = opened;
    const active = () => page.evaluate(() => document.activeElement?.textContent);
    await page.select('#examples', sentence);
    // A pointer at rest over tokens that move would show the one below it.
    await page.mouse.move(0, 0);
    await page.focus('#tokens button[tabindex="0"]');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    const third = await active();
    expect(await text(page, '#row-title')).toContain(`“${third}”`);
    await page.keyboard.press('Enter');
    await page.keyboard.press('End');
    expect(await active()).toBe('.');
    await page.keyboard.press('Tab');
    expect(await text(page, '#row-title')).toContain(`“${third}”`);
    expect(await page.$eval('#tokens [aria-pressed="true"]', (one) => one.textContent)).toBe(third);

    await click(page, 'input[name=head][aria-label="layer 1, head 1"]');
    await page.keyboard.press('ArrowRight');
    expect(await text(page, '#row-title')).toContain('layer 1, head 2');

    await page.focus('#length');
    await page.keyboard.press('Home');
    expect(await text(page, '#length-value')).toBe('128');
    await page.keyboard.press('ArrowRight');
    expect(await text(page, '#length-value')).toBe('256');
  });

  it('goes through the controls in the order of the page', async () => {
    const { page } = opened;
    await page.evaluate(() => (document.activeElement as HTMLElement)?.blur());
    await page.reload();
    await until(page, '#engine', (now) => now.startsWith('Computing'));
    const order: string[] = [];
    for (let tab = 0; tab < 40; tab++) {
      await page.keyboard.press('Tab');
      order.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.className || ''));
    }
    const wanted = [
      'skip',
      'theme',
      'score-0',
      'text',
      'examples',
      'mask',
      'sinusoidal',
      'load',
      'tile-mask',
      'length',
    ];
    wanted.push('measure', 'position', 'distance', 'play');
    const places = wanted.map((id) => order.indexOf(id));
    expect(places.includes(-1), `${order}`).toBe(false);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  it('shows the tiles that a mask is planned to', async () => {
    const { page } = opened;
    await page.select('#tile-mask', 'causal');
    await page.focus('#length');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    const numbers = await page.$$eval('#plan-numbers dd', (found) => found.map((one) => one.textContent));
    // 512 tokens are 8 × 8 tiles: 8 on the diagonal, 28 on either side.
    expect(numbers.slice(0, 3)).toEqual(['28', '8', '28 of 64']);
    expect(numbers[3]).toBe(`${((512 * 513) / 2).toLocaleString('en')}, 50 %`);
    const { data, width: wide } = await pixels(page, '#plan');
    const colours = Array.from({ length: 64 }, (_, t) => {
      const [row, column] = [Math.floor(t / 8), t % 8].map((tile) => Math.floor((tile + 0.5) * (wide / 8)));
      return data.slice(4 * (row * wide + column), 4 * (row * wide + column) + 3).join();
    });
    const [partial, skipped, full] = [colours[0], colours[1], colours[8]];
    expect(new Set([partial, skipped, full]).size).toBe(3);
    colours.forEach((colour, t) => {
      const [row, column] = [Math.floor(t / 8), t % 8];
      expect(colour).toBe(row === column ? partial : column > row ? skipped : full);
    });
    const canvas = (await page.$('#plan'))!;
    await canvas.scrollIntoView();
    const { x, y, width } = (await canvas.boundingBox())!;
    await page.mouse.move(x + width * 0.45, y + width * 0.3);
    expect(await text(page, '#tile')).toBe('queries 128–191, keys 192–255: skipped');
  });

  it('turns by positions, and the product depends on the distance alone', async () => {
    const { page } = opened;
    const first = await text(page, '#dot');
    const arrow = () => page.$eval('#dials .query', (line) => line.getAttribute('x2'));
    const before = await arrow();
    await page.focus('#position');
    for (let step = 0; step < 5; step++) await page.keyboard.press('ArrowRight');
    expect(await text(page, '#position-value')).toBe('9.25');
    expect(await arrow()).not.toBe(before);
    const value = (shown: string) => Number(/= (-?\d+\.\d+)$/.exec(shown)?.[1]);
    expect(Math.abs(value(await text(page, '#dot')) - value(first))).toBeLessThanOrEqual(1.001e-4);
    await page.focus('#distance');
    await page.keyboard.press('ArrowRight');
    expect(Math.abs(value(await text(page, '#dot')) - value(first))).toBeGreaterThan(0.01);
    await click(page, '#play');
    await until(page, '#position-value', (now) => Number(now) > 10);
    await click(page, '#play');
    expect(await text(page, '#play')).toBe('Move both');
  });

  it('measures in a worker, while the page goes on', async () => {
    const { page } = opened;
    await page.select('#tile-mask', 'window');
    await click(page, '#measure');
    await until(page, '#measured', (now) => now.endsWith('tokens …'));
    await page.focus('#score-0');
    await page.keyboard.press('ArrowRight');
    expect(await text(page, 'output[for="score-0"]')).toBe('2.1');
    expect(await text(page, '#measured')).toMatch(/^Measuring/);
    const ended = await until(page, '#measured', (now) => !now.startsWith('Measuring'));
    expect(ended).toMatch(/^Measured with the .* build on \d+ thread/);
    await click(page, '#numbers summary');
    const rows = await page.$$eval('#points tr', (found) =>
      found.map((row) => Array.from(row.children, (cell) => cell.textContent ?? '')),
    );
    const units: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
    // A slow machine ends a curve earlier.
    const measured = (method: string) =>
      rows
        .filter((row) => row[0] === method)
        .map(([, length, , memory]) => ({
          pairs: Number(length) ** 2,
          bytes: parseFloat(memory) * units[memory.slice(-3)],
        }));
    const methods = ['plain JavaScript, n² scores', 'SIMD kernels, n² scores', 'tiles', 'tiles, mask: sliding window'];
    const [plain, kernels, tiles, masked] = methods.map(measured);
    for (const points of [plain, kernels, tiles, masked]) expect(points.length).toBeGreaterThanOrEqual(3);
    for (const { pairs, bytes } of plain) expect(bytes).toBe(4 * pairs);
    for (const { pairs, bytes } of kernels) expect(bytes).toBeGreaterThanOrEqual(4 * pairs);
    for (const { bytes } of [...tiles, ...masked]) expect(bytes).toBeLessThan(2 ** 20);
    expect((await page.$$('#time-chart polyline')).length).toBe(4);
    expect((await page.$$('#memory-chart circle')).length).toBe(rows.length);

    await click(page, '#measure');
    await click(page, '#measure');
    expect(await text(page, '#measured')).toBe('Stopped.');
  });

  describe.each(['light', 'dark'])('%s', (theme) => {
    it('is accessible to axe, and fits a phone', async () => {
      const { page } = opened;
      if (!(await text(page, '#loaded')).includes('tokens')) await loadEncoder(page);
      await page.select('#mask', 'causal');
      while ((await text(page, '#theme')) !== `Theme: ${theme}`) await click(page, '#theme');
      const [red] = (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g)!;
      expect(Number(red) > 128).toBe(theme === 'light');
      await page.evaluate(axe);
      for (const width of [1100, 360]) {
        await page.setViewport({ width, height: 800 });
        const [scroll, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        expect(inner).toBe(width);
        expect(scroll).toBeLessThanOrEqual(width);
        const violations = await page.evaluate(async () => {
          type Axe = {
            run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }>;
          };
          const found = await (globalThis as unknown as { axe: Axe }).axe.run();
          return found.violations.map(
            ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html + node.failureSummary)}`,
          );
        });
        expect(violations).toEqual([]);
      }
      await page.setViewport({ width: 1100, height: 900 });
    });
  });

  it.runIf(name === 'chromium')('follows the system: dark, less motion', async () => {
    const { page } = opened;
    while ((await text(page, '#theme')) !== 'Theme: system') await click(page, '#theme');
    await page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: 'dark' },
      { name: 'prefers-reduced-motion', value: 'reduce' },
    ]);
    const [red] = (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g)!;
    expect(Number(red)).toBeLessThan(64);
    await until(page, '#play', (now) => now === 'Move both by 1');
    const before = Number(await text(page, '#position-value'));
    await click(page, '#play');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(Number(await text(page, '#position-value'))).toBe(before + 1);
    await page.emulateMediaFeatures([]);
  });

  it('had no error, and asked nothing of another host', () => {
    const { problems, requests } = opened;
    expect(problems).toEqual([]);
    expect(requests.length).toBeGreaterThan(10);
    for (const url of requests) expect(url).toMatch(/^(http:\/\/localhost:|blob:http:\/\/localhost:|data:)/);
  });

  it.each([
    ['has one thread and says why where the page is not isolated', 'not isolated', /on 1 thread \(.*not cross-origin/],
    ['works in the development server', 'development', /on \d+ thread/],
  ] as const)('%s', async (_, kind, engine) => {
    const other = await serve(kind);
    const { page, problems, close } = await open(name, other.url);
    try {
      expect(await text(page, '#engine')).toMatch(engine);
      await loadEncoder(page);
      expect((await shownRow(page)).reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 2);
      expect(problems).toEqual([]);
    } finally {
      await close();
      await other.close();
    }
  });
});
