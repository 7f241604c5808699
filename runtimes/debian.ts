import { type ExecFileSyncOptions, execFileSync } from 'node:child_process';
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
  const options: ExecFileSyncOptions = {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  try {
    execFileSync('apt-get', ['update'], options);
    execFileSync('sh', ['-c', command], options);
  } catch {
    console.error(`Browsers are missing and could not be installed: ${command}`);
  }
}
