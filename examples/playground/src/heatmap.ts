import { colour, sized } from './dom.ts';

export type Matrix = { tokens: readonly string[]; weights: Float32Array; scores: Float32Array };

const FONT = '13px system-ui, sans-serif';
const MOST_LABEL = 84;

/** Where the cells of a heatmap lie in its canvas, in CSS pixels. */
export type Place = { left: number; top: number; cell: number };

/** Draws a heatmap as wide as its room; `row` is framed. */
export function drawHeatmap(canvas: HTMLCanvasElement, { tokens, weights, scores }: Matrix, row: number): Place {
  const n = tokens.length;
  const room = canvas.parentElement!.clientWidth;
  const measure = canvas.getContext('2d')!;
  measure.font = FONT;
  const label = Math.min(MOST_LABEL, Math.ceil(Math.max(...tokens.map((token) => measure.measureText(token).width))));
  const left = label + 8;
  const cell = Math.max(2, Math.min(34, Math.floor((room - left - 2) / n)));
  const context = sized(canvas, left + n * cell + 2, left + n * cell + 2);
  drawCells(context, { left, top: left, cell }, { weights, scores, n });
  if (cell >= 11) drawLabels(context, tokens, { left, cell, label });
  context.strokeStyle = colour('--accent');
  context.lineWidth = 2;
  context.strokeRect(left, left + row * cell, n * cell, cell);
  return { left, top: left, cell };
}

/** The same without labels, in a square of `side` pixels. */
export function drawThumbnail(
  canvas: HTMLCanvasElement,
  matrix: Omit<Matrix, 'tokens'>,
  n: number,
  side: number,
): void {
  drawCells(sized(canvas, side, side), { left: 0, top: 0, cell: side / n }, { ...matrix, n });
}

type Cells = { weights: Float32Array; scores: Float32Array; n: number };

function drawCells(context: CanvasRenderingContext2D, { left, top, cell }: Place, { weights, scores, n }: Cells): void {
  const most = weights.reduce((a, b) => Math.max(a, b), 0);
  const [ground, heat, hidden] = ['--heat-0', '--heat-1', '--hidden-pair'].map(colour);
  const gap = cell >= 8 ? 1 : 0;
  const box = (i: number, j: number) => context.fillRect(left + j * cell, top + i * cell, cell - gap, cell - gap);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const at = i * n + j;
      context.globalAlpha = 1;
      context.fillStyle = scores[at] === -Infinity ? hidden : ground;
      box(i, j);
      context.globalAlpha = most > 0 ? weights[at] / most : 0;
      context.fillStyle = heat;
      box(i, j);
    }
  }
  context.globalAlpha = 1;
}

function drawLabels(
  context: CanvasRenderingContext2D,
  tokens: readonly string[],
  { left, cell, label }: { left: number; cell: number; label: number },
): void {
  context.font = FONT;
  context.fillStyle = colour('--ink');
  context.textBaseline = 'middle';
  tokens.forEach((token, t) => {
    const center = left + t * cell + cell / 2;
    context.textAlign = 'right';
    context.fillText(token, left - 6, center, label);
    context.save();
    context.translate(center, left - 6);
    context.rotate(-Math.PI / 2);
    context.textAlign = 'left';
    context.fillText(token, 0, 0, label);
    context.restore();
  });
}
