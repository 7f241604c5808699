import { parseArgs } from 'node:util';
import { installBrowsers } from './debian.ts';
import { lint } from './lint.ts';
import { places } from './places/index.ts';
import { prepare } from './project.ts';
import { compareDigests, problemsOf, type Row, remarks, table } from './report.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, list: { type: 'boolean' }, all: { type: 'boolean' } },
});

const words = values.only?.toLowerCase().split(',') ?? [''];
const chosen = places.filter(({ name }) => words.some((word) => name.toLowerCase().includes(word)));

async function rowOf(place: Row['place']): Promise<Row> {
  const began = performance.now();
  const row: Row = { place, problems: [], seconds: 0 };
  try {
    if (place.missing) row.problems = values.all ? [`${place.missing} is not installed`] : [];
    else {
      row.result = await place.run();
      row.problems = problemsOf(place, row.result);
    }
  } catch (error) {
    row.problems = [String(error instanceof Error ? error.message : error)];
  }
  row.seconds = (performance.now() - began) / 1000;
  const mark = row.problems.length > 0 ? 'FAILED' : place.missing ? 'not installed' : 'ok';
  console.error(`${place.name}: ${mark}, ${row.seconds.toFixed(1)} s`);
  return row;
}

if (values.list) console.log(chosen.map(({ name }) => name).join('\n'));
else {
  installBrowsers(chosen);
  const complaints = await lint(await prepare());
  const rows: Row[] = [];
  for (const place of chosen) rows.push(await rowOf(place));
  compareDigests(rows);
  console.log([table(rows), remarks(rows), ...complaints].join('\n'));
  process.exit(complaints.length > 0 || rows.some(({ problems }) => problems.length > 0) ? 1 : 0);
}
