import { existsSync } from 'node:fs';
import puppeteer, { type Browser } from 'puppeteer-core';

/** The browsers of this machine: Debian's, or those that CHROMIUM and FIREFOX name. */
export const browsers = {
  chromium: { browser: 'chrome', path: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] },
  firefox: { browser: 'firefox', path: process.env.FIREFOX ?? '/usr/bin/firefox-esr', args: [] },
} as const;

export type BrowserName = keyof typeof browsers;

export function launch(name: BrowserName): Promise<Browser> {
  const { browser, path, args } = browsers[name];
  if (!existsSync(path))
    throw new Error(`there is no ${path}: apt-get install chromium firefox-esr, or set ${name.toUpperCase()}`);
  return puppeteer.launch({ browser, executablePath: path, args: [...args], headless: true });
}
