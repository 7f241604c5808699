import type { Place } from './place.ts';
import type { Result } from './suite.ts';

export type Row = { place: Place; result?: Result; problems: string[]; seconds: number };

/** What a result lacks of what its place must have. */
export function problemsOf({ build, threads }: Place, result: Result): string[] {
  const problems: string[] = [];
  if (result.build !== build) problems.push(`build ${result.build}, not ${build}`);
  if (result.threads !== threads) problems.push(`${result.threads} threads, not ${threads}: ${result.threadsReason}`);
  if (threads === 1 && !result.threadsReason) problems.push('no reason for the one thread');
  for (const [name, error] of Object.entries(result.errors))
    if (!(error <= 1)) problems.push(`${name} is off by ${error} times its bound`);
  return problems;
}

/** The simd build gives the same bits everywhere: adds a problem to every row whose digests are not those of the first. */
export function compareDigests(rows: Row[]): void {
  const first = rows.find(({ result }) => result);
  for (const { result, problems } of rows) {
    const differ = Object.entries(result?.digests ?? {}).filter(
      ([name, bits]) => bits !== first!.result!.digests[name],
    );
    if (differ.length > 0)
      problems.push(
        `other bits than ${first!.place.name}: ${differ.map(([name, bits]) => `${name} ${bits}`).join(', ')}`,
      );
  }
}

export function table(rows: Row[]): string {
  const cells = rows.map(({ place, result, problems }) => [
    place.name,
    result ? 'yes' : place.missing ? 'not installed' : 'no',
    result?.build ?? '',
    result ? String(result.threads) : '',
    result?.first ? result.first.toFixed(1) : '',
    problems.length === 0 ? '' : 'FAILED',
  ]);
  const head = ['runtime', 'loads', 'build', 'threads', 'first result, ms', ''];
  const widths = head.map((_, column) => Math.max(...[head, ...cells].map((row) => row[column].length)));
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [line(head), rule, ...cells.map(line)].join('\n');
}

/** Why rows have one thread, and what failed. */
export function remarks(rows: Row[]): string {
  const reasons = new Map<string, string[]>();
  for (const { place, result } of rows)
    if (result?.threads === 1)
      reasons.set(result.threadsReason!, [...(reasons.get(result.threadsReason!) ?? []), place.name]);
  return [
    ...[...reasons].map(([reason, names]) => `1 thread: ${reason}\n    ${names.join('; ')}`),
    ...rows.flatMap(({ place, problems }) => problems.map((problem) => `FAILED ${place.name}: ${problem}`)),
  ].join('\n');
}
