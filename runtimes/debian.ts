import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Place } from './place.ts';

/** The browsers are Debian's. */
const packages = ['chromium', 'firefox-esr', 'webkit2gtk-driver', 'xvfb', 'xauth'];
const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;

/** Installs the browsers, where one is missing for these places and this process may. */
export function installBrowsers(places: Place[]): void {
  if (places.every(({ missing }) => !missing?.startsWith('/usr/'))) return;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(`Browsers are missing; on Debian, as root: ${command}`);
    return;
  }
  execFileSync('apt-get', ['update'], { stdio: ['ignore', 2, 2] });
  execFileSync('sh', ['-c', command], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}
