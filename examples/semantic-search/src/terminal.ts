import chalk from 'chalk';
import { type AttentionMap, largest } from './attention.ts';
import type { Hit } from './search.ts';

export function rankingText(query: string, hits: readonly Hit[], label: (index: number) => [string, string]): string {
  const lines = hits.map(({ index, score }, place) => {
    const [sentence, source] = label(index);
    const tail = source && chalk.dim(`  ${source}`);
    return `${`${place + 1}`.padStart(4)}  ${chalk.cyan(score.toFixed(3).padStart(6))}  ${sentence}${tail}`;
  });
  return [chalk.bold(`? ${query}`), ...lines].join('\n');
}

/** A table of percents over a coloured ground; `columns` is the terminal's width, if it has one. */
export function heatmapText(map: AttentionMap, columns = Number.POSITIVE_INFINITY): string {
  const margin = 4 + Math.max(...map.tokens.map((token) => token.length)) + 1;
  const shown = Math.min(map.tokens.length, Math.max(1, Math.floor((columns - margin) / 4)));
  const max = largest(map);
  const number = (index: number) => chalk.dim(`${index + 1}`.padStart(3));
  const header = map.tokens.slice(0, shown).map((_, j) => `${number(j)} `);
  const rows = map.tokens.map((token, i) => {
    const cells = map.weights[i].slice(0, shown).map((weight) => cell(weight, weight / max));
    return `${number(i)} ${token.padEnd(margin - 4)}${cells.join('')}`;
  });
  const rest = shown < map.tokens.length ? `, the first ${shown} of ${map.tokens.length} columns (--svg has all)` : '';
  const title = `attention in %, ${map.caption}: row = token that looks, column = token looked at${rest}`;
  return [title, ' '.repeat(margin) + header.join(''), ...rows].join('\n');
}

function cell(weight: number, share: number): string {
  const percent = Math.round(weight * 100);
  const text = `${percent === 0 ? '·' : percent}`.padStart(3).padEnd(4);
  const [r, g, b] = [20, 40, 70].map((dark, i) => Math.round(dark + share * ([255, 200, 60][i] - dark)));
  return chalk.bgRgb(r, g, b)(share > 0.5 ? chalk.black(text) : chalk.white(text));
}
