import { writeFileSync } from 'node:fs';
import { readOptions } from './options.ts';
import { writeChart, writeReadme } from './report/publish.ts';
import { readReport } from './report/report.ts';
import { run } from './run.ts';

const options = readOptions(process.argv.slice(2));
const report = options.from ? readReport(options.from) : await run(options);
if (!options.from) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
if (options.svg) await writeChart(options.svg, report);
if (options.readme) await writeReadme(report);

// Absolute times depend on the machine: they are told, but only a ratio decides.
const { outcomes, quick } = report;
const missed = outcomes.filter(({ verdict, unit }) => verdict === 'short' && (unit === 'ratio' || unit === 'share'));
if (quick && missed.length > 0) {
  console.error(`bench: ${missed.length} of ${outcomes.length} targets fall short by more than noise`);
  process.exitCode = 1;
}
