import { existsSync } from 'node:fs';
import puppeteer, { type Browser } from 'puppeteer-core';

/** The browsers of this machine: Debian's, or those that CHROMIUM and FIREFOX name. */
export const browsers = {
  chromium: { browser: 'chrome', path: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] },
  firefox: { browser: 'firefox', path: process.env.FIREFOX ?? '/usr/bin/firefox-esr', args: [] },
} as const;

export type BrowserName = keyof typeof browsers;

export function isInstalled(name: BrowserName): boolean {
  const { path } = browsers[name];
  const found = existsSync(path);
  if (!found)
    console.error(
      `${name} is not installed (${path}): apt-get install chromium firefox-esr, or set ${name.toUpperCase()}`,
    );
  return found;
}

/** Starts the browser, and once more where it does not come up. */
export async function launch(name: BrowserName): Promise<Browser> {
  const { browser, path, args } = browsers[name];
  const start = () =>
    puppeteer.launch({ browser, executablePath: path, args: [...args], headless: true, timeout: 60_000 });
  return start().catch(start);
}
