import { checkInteger, wrongValue } from '../../check.ts';
import type { MaskContext, Visibility } from './visibility.ts';

/** Which part of a mask is drawn, and how finely. */
export type DrawOptions = {
  /** Default 0. */
  batchIndex?: number;
  /** Default 0. */
  headIndex?: number;
  /** The most characters or squares of a line; default 64. */
  width?: number;
};

/** Shares of visible pairs in a grid of cells, each a stretch of queries by a stretch of keys of the same length. */
type Grid = { rows: number; columns: number; step: number; shares: Float64Array };

function gridOf(where: string, mask: Visibility, context: MaskContext, options: DrawOptions): Grid {
  const { batchIndex = 0, headIndex = 0, width = 64 } = options;
  checkInteger(where, 'width', width, 1);
  for (const [name, index, count] of [
    ['batchIndex', batchIndex, context.batch],
    ['headIndex', headIndex, context.heads],
  ] as const) {
    checkInteger(where, name, index);
    if (index >= count) throw wrongValue(where, name, `is ${index}, but there are ${count}`);
  }
  const { queries, keys } = context;
  const step = Math.ceil(Math.max(queries, keys) / width);
  const [rows, columns] = [Math.ceil(queries / step), Math.ceil(keys / step)];
  const shares = new Float64Array(rows * columns);
  const row = mask.rows(context, batchIndex, headIndex);
  for (let i = 0; i < queries; i++) {
    const seen = row(i);
    const first = Math.floor(i / step) * columns;
    for (let x = 0; x < seen.length; x += 2) {
      for (let from = seen[x]; from < seen[x + 1]; ) {
        const column = Math.floor(from / step);
        const to = Math.min(seen[x + 1], (column + 1) * step);
        shares[first + column] += to - from;
        from = to;
      }
    }
  }
  for (let cell = 0; cell < shares.length; cell++) {
    const height = Math.min(step, queries - Math.floor(cell / columns) * step);
    shares[cell] /= height * Math.min(step, keys - (cell % columns) * step);
  }
  return { rows, columns, step, shares };
}

export function drawCharacters(mask: Visibility, context: MaskContext, options: DrawOptions): string {
  const { rows, columns, shares } = gridOf('toString', mask, context, options);
  const letter = (share: number) => (share === 1 ? '█' : share > 0 ? '▒' : '·');
  const lines = Array.from({ length: rows }, (_, row) =>
    Array.from(shares.subarray(row * columns, (row + 1) * columns), letter).join(''),
  );
  return lines.join('\n');
}

const CELL = 8;
const MARGIN = 24;
const FONT = 'font-family="sans-serif" font-size="11" fill="#444"';

/** Neighbouring cells of one share in a row are one rectangle. */
export function drawSVG(mask: Visibility, context: MaskContext, options: DrawOptions): string {
  const { rows, columns, shares } = gridOf('toSVG', mask, context, options);
  const [width, height] = [columns * CELL, rows * CELL];
  const parts: string[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; ) {
      const share = shares[row * columns + column];
      let end = column + 1;
      while (end < columns && shares[row * columns + end] === share) end++;
      // The least visible cell is still to be seen.
      const opacity = share === 0 ? 0 : Math.round((0.25 + 0.75 * share) * 100) / 100;
      const place = `x="${column * CELL}" y="${row * CELL}" width="${(end - column) * CELL}" height="${CELL}"`;
      if (opacity > 0) parts.push(`<rect ${place} fill-opacity="${opacity}"/>`);
      column = end;
    }
  }
  const total = `0 0 ${width + MARGIN + 8} ${height + MARGIN + 8}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${total}" role="img">`,
    `<title>Attention mask, ${context.queries} queries by ${context.keys} keys</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${MARGIN}" y="16" ${FONT}>${context.keys} keys</text>`,
    `<text transform="translate(16 ${MARGIN + height}) rotate(-90)" ${FONT}>${context.queries} queries</text>`,
    `<g transform="translate(${MARGIN} ${MARGIN})" fill="#1f5fa8" shape-rendering="crispEdges">`,
    `<rect width="${width}" height="${height}" fill="#f2f2f2"/>`,
    ...parts,
    '</g></svg>',
  ].join('\n');
}
