import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { UsageError } from './options.ts';

/** A sentence and where it is from; '' if unknown. */
export type Entry = [sentence: string, source: string];

const lines = (content: string) =>
  content
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');

export function shippedCorpus(): Entry[] {
  type Work = { work: string; author: string; sentences: string[] };
  const works: Work[] = JSON.parse(readFileSync(new URL('../data/sentences.json', import.meta.url), 'utf8'));
  return works.flatMap(({ work, author, sentences }) =>
    sentences.map((sentence): Entry => [sentence, `${author}, ${work}`]),
  );
}

export function corpusOf(file: string): Entry[] {
  const entries = lines(readFileSync(file, 'utf8')).map((line): Entry => [line, '']);
  if (entries.length === 0) throw new UsageError(`${file} has no sentence`);
  return entries;
}

/** The lines of standard input; none from a terminal or from a pipe that is silent for two seconds, unless `wait`. */
export async function pipedLines(wait: boolean): Promise<string[]> {
  const { stdin } = process;
  if (stdin.isTTY && !wait) return [];
  const begun = wait || (await Promise.race([once(stdin, 'readable'), setTimeout(2000, false, { ref: false })]));
  if (begun) return lines(await text(stdin));
  stdin.destroy();
  return [];
}
