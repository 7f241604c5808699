import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withTable } from './readme.ts';
import type { Report } from './report.ts';

const readmeFile = fileURLToPath(new URL('../../README.md', import.meta.url));

/** Where the README's chart lies. */
export const readmeChart = fileURLToPath(new URL('../../docs/bench.svg', import.meta.url));

export async function writeChart(file: string, { suites, machine }: Report): Promise<void> {
  const { chart } = await import('./chart.ts');
  const subtitle = [`${machine.cpu}, Node ${machine.node}, ${machine.date.slice(0, 10)}; the fastest operator of each`];
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, await chart(suites, subtitle));
}

/** The README's table and chart, of one run. */
export async function writeReadme(report: Report): Promise<void> {
  const readme = withTable(readFileSync(readmeFile, 'utf8'), report);
  await writeChart(readmeChart, report);
  writeFileSync(readmeFile, readme);
}
