import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Estimate, estimate } from './statistics.ts';

export type Startup = { importToResult: Estimate; firstOverWarm: Estimate };

/** Import → first result in fresh processes: BERT-large, the data at hand. */
export function startup(processes: number): Startup {
  const child = fileURLToPath(new URL('startupChild.mjs', import.meta.url));
  const runs = Array.from(
    { length: processes },
    () => JSON.parse(execFileSync(process.execPath, [child], { encoding: 'utf8' })) as Record<string, number>,
  );
  return {
    importToResult: estimate(runs.map(({ total }) => total)),
    firstOverWarm: estimate(runs.map(({ first, warm }) => first / warm)),
  };
}
