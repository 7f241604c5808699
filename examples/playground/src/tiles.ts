import { fillMasks, type MaskName, maskChoices } from './choices.ts';
import { byId, colour, element, onLook, sized } from './dom.ts';

const TILE = 64;
const kinds = { '█': 'full', '▒': 'partial', '·': 'skipped' } as const;
type Kind = (typeof kinds)[keyof typeof kinds];

const count = (value: number) => value.toLocaleString('en');
const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

export type PlanSetting = { mask: MaskName; tokens: number; size: number };

/** The section that shows what a mask is planned to; the result tells its setting. */
export function mountTiles(): () => PlanSetting {
  const select = byId<HTMLSelectElement>('tile-mask');
  const [length, size] = ['length', 'size'].map((id) => byId<HTMLInputElement>(id));
  const canvas = byId<HTMLCanvasElement>('plan');
  let tiles: Kind[][] = [];
  let cell = 0;

  const setting = (): PlanSetting => ({
    mask: select.value as MaskName,
    tokens: 2 ** Number(length.value),
    size: 2 ** Number(size.value),
  });

  fillMasks(select, plan);
  select.value = 'longformer';
  for (const input of [length, size]) input.addEventListener('input', plan);
  onLook(canvas.parentElement!, draw);
  canvas.addEventListener('pointermove', ({ offsetX, offsetY }) => {
    const [row, column] = [Math.floor(offsetY / cell), Math.floor(offsetX / cell)];
    const kind = tiles[row]?.[column];
    const range = (at: number) => `${at * TILE}–${at * TILE + TILE - 1}`;
    if (kind) byId('tile').textContent = `queries ${range(row)}, keys ${range(column)}: ${kind}`;
  });

  function plan(): void {
    const { mask: name, tokens, size: reach } = setting();
    byId('length-value').textContent = count(tokens);
    byId('size-value').textContent = count(reach);
    byId('size').closest<HTMLElement>('.field')!.hidden = !maskChoices[name].sized;
    const mask = maskChoices[name].make(tokens, reach);
    const sizes = { queries: tokens, keys: tokens };
    const picture = mask.toString({ ...sizes, width: Math.ceil(tokens / TILE) });
    tiles = picture.split('\n').map((line) => Array.from(line, (character) => kinds[character as keyof typeof kinds]));
    const { tiles: planned, pairs, share, time } = mask.plan(sizes);
    const all = planned.full + planned.partial + planned.skipped;
    byId('plan-numbers').replaceChildren(
      ...numbers({
        'full tiles': count(planned.full),
        'partial tiles': count(planned.partial),
        'skipped tiles': `${count(planned.skipped)} of ${count(all)}`,
        'pairs visible': `${count(pairs.visible)}, ${percent(pairs.visible / pairs.all)}`,
        'pairs computed': percent(share),
        'time, predicted': `${percent(time)} of that without a mask`,
      }),
    );
    canvas.ariaLabel = `Tile plan of ${all} tiles: ${planned.full} full, ${planned.partial} partial, ${planned.skipped} skipped`;
    draw();
  }

  function draw(): void {
    const side = Math.min(canvas.parentElement!.clientWidth, 420);
    cell = side / tiles.length;
    const context = sized(canvas, side, side);
    const gap = cell >= 6 ? 1 : 0;
    const colours = { full: colour('--full'), partial: colour('--partial'), skipped: colour('--skipped') };
    tiles.forEach((line, row) => {
      line.forEach((kind, column) => {
        context.fillStyle = colours[kind];
        context.fillRect(column * cell, row * cell, cell - gap, cell - gap);
      });
    });
  }

  plan();
  return setting;
}

function numbers(values: Record<string, string>): HTMLElement[] {
  return Object.entries(values).map(([name, value]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value)),
  );
}
