// Installs what the folders' lockfiles name and builds dist/, each only where it is missing or out of date. Plain JavaScript: it runs first.
import { execSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';

const time = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
const newest = (folder) =>
  Math.max(...readdirSync(folder, { recursive: true }).map((file) => time(`${folder}/${file}`)));
const run = (command, cwd) => execSync(command, { cwd, stdio: ['ignore', process.stderr, process.stderr] });

for (const folder of process.argv.slice(2)) {
  if (time(`${folder}/node_modules/.package-lock.json`) < time(`${folder}/package-lock.json`)) {
    run('npm ci --no-audit --no-fund --loglevel=error', folder);
  }
  const inputs = ['assembly', 'src', 'scripts'].map((name) => newest(name));
  if (folder === '.' && time('dist/worker.d.ts') < Math.max(...inputs, time('package.json')))
    run('npm run --silent build', folder);
}
