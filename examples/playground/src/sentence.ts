import type { Runtime } from 'wasm-attention';
import { type Attended, attend, matrixOf, type Setting, untrained, type View, views } from './attend.ts';
import { fillMasks, maskChoices, sentences } from './choices.ts';
import { byId, element, onLook } from './dom.ts';
import { drawHeatmap, drawThumbnail, type Matrix, type Place } from './heatmap.ts';
import { loadModel, type Model } from './model.ts';
import { mountTokens } from './tokens.ts';

const THUMBNAIL = 52;

const nameOf = ({ head }: View) => (head === 'mean' ? 'mean' : `${head + 1}`);

/** The section that runs a sentence through the encoder. */
export function mountSentence(runtime: Runtime, onModel: (model: Model) => void): void {
  const text = byId<HTMLTextAreaElement>('text');
  const canvas = byId<HTMLCanvasElement>('heatmap');
  let view = views[0];
  let model: Model | undefined;
  let attended: Attended | undefined;
  let place: Place | undefined;

  const tokens = mountTokens(byId('tokens'), showRow);
  const thumbnails = mountHeads((chosen) => {
    view = chosen;
    showMatrix();
  });
  const setting = mountSettings(compute);

  for (const sentence of sentences) byId<HTMLSelectElement>('examples').add(new Option(sentence));
  text.value = sentences[0];
  text.addEventListener('input', compute);
  byId('examples').addEventListener('change', (event) => {
    text.value = (event.target as HTMLSelectElement).value;
    compute();
  });
  byId('load').addEventListener('click', load);
  canvas.addEventListener('pointermove', (event) => showCell(cellAt(event)));
  canvas.addEventListener('click', (event) => {
    const cell = cellAt(event);
    if (cell) tokens.pin(cell.row);
    showCell(cell);
  });
  onLook(canvas.parentElement!, showAll);

  async function load(): Promise<void> {
    const [button, progress] = [byId<HTMLButtonElement>('load'), byId<HTMLProgressElement>('progress')];
    button.disabled = true;
    progress.hidden = false;
    try {
      model = await loadModel(runtime, (loaded, all) => {
        progress.value = loaded / all;
        byId('loaded').textContent = `${(loaded / 1e6).toFixed(0)} of ${(all / 1e6).toFixed(0)} MB`;
      });
    } catch (error) {
      byId('loaded').textContent = `The encoder could not be loaded: ${(error as Error).message}`;
      button.disabled = false;
      return;
    } finally {
      progress.hidden = true;
    }
    button.hidden = true;
    onModel(model);
    compute();
  }

  function compute(): void {
    const now = setting();
    byId('untrained').hidden = !untrained(now);
    byId('mask-says').textContent = maskChoices[now.mask].says;
    byId('reach-field').hidden = !maskChoices[now.mask].sized;
    byId('reach-value').textContent = `${now.size}`;
    if (!model) return;
    const next = attend(model, text.value, now);
    attended = next.tokens.length > 0 ? next : undefined;
    byId('attention').hidden = !attended;
    const cut = next.cut > 0 ? `, ${next.cut} cut off` : '';
    byId('loaded').textContent = attended
      ? `${next.tokens.length} tokens${cut}, both layers in ${next.milliseconds.toFixed(1)} ms`
      : 'Type a sentence.';
    if (attended) tokens.set(attended.tokens);
    showAll();
  }

  function matrix({ tokens: labels, weights, scores }: Attended): Matrix {
    return { tokens: labels, weights: matrixOf(weights, view), scores: matrixOf(scores, view) };
  }

  function showAll(): void {
    if (!attended) return;
    const { weights, scores, tokens: labels } = attended;
    views.forEach((one, v) => {
      const part = { weights: matrixOf(weights, one), scores: matrixOf(scores, one) };
      drawThumbnail(thumbnails[v], part, labels.length, THUMBNAIL);
    });
    showMatrix();
  }

  function showMatrix(): void {
    if (attended) showRow(tokens.shown());
  }

  function showRow(row: number): void {
    if (!attended) return;
    const shown = matrix(attended);
    const n = shown.tokens.length;
    place = drawHeatmap(canvas, shown, row);
    const where = `layer ${view.layer + 1}, ${view.head === 'mean' ? 'mean of the heads' : `head ${nameOf(view)}`}`;
    canvas.ariaLabel = `Attention weights of ${n} tokens, ${where}`;
    byId('heat-range').textContent = `0 to ${Math.max(...shown.weights).toFixed(2)}`;
    byId('row-title').textContent = `Where “${shown.tokens[row]}” looks: ${where}`;
    byId('row').replaceChildren(
      ...shown.tokens.map((token, j) => tableRow(token, shown.scores[row * n + j], shown.weights[row * n + j])),
    );
    tokens.shade(shown.weights.subarray(row * n, (row + 1) * n));
  }

  function cellAt(event: PointerEvent | MouseEvent) {
    if (!attended || !place) return undefined;
    const row = Math.floor((event.offsetY - place.top) / place.cell);
    const column = Math.floor((event.offsetX - place.left) / place.cell);
    const n = attended.tokens.length;
    return row >= 0 && column >= 0 && row < n && column < n ? { row, column } : undefined;
  }

  function showCell(cell: ReturnType<typeof cellAt>): void {
    if (!cell || !attended) return;
    const { tokens: labels, weights } = matrix(attended);
    const weight = weights[cell.row * labels.length + cell.column];
    byId('cell').textContent = `${labels[cell.row]} → ${labels[cell.column]}: ${weight.toFixed(4)}`;
  }

  compute();
}

function tableRow(token: string, score: number, weight: number): HTMLElement {
  const hidden = score === -Infinity;
  const bar = element('span', { class: 'bar', style: `--share: ${weight}` });
  return element(
    'tr',
    { class: hidden ? 'hidden-pair' : '' },
    element('th', { scope: 'row' }, token),
    element('td', {}, hidden ? 'hidden' : score.toFixed(2)),
    element('td', {}, element('span', { class: 'weight' }, weight.toFixed(4)), bar),
  );
}

/** A small heatmap for each head, of which one is chosen. */
function mountHeads(pick: (view: View) => void): HTMLCanvasElement[] {
  const layers = new Map<number, HTMLElement>();
  return views.map((view, v) => {
    const line =
      layers.get(view.layer) ?? element('div', { class: 'layer' }, element('span', {}, `Layer ${view.layer + 1}`));
    layers.set(view.layer, line);
    byId('heads').append(line);
    const canvas = element('canvas', { 'aria-hidden': 'true' });
    const name = `layer ${view.layer + 1}, ${view.head === 'mean' ? 'mean of the heads' : `head ${nameOf(view)}`}`;
    const input = element('input', { type: 'radio', name: 'head', 'aria-label': name, checked: v === 0 });
    input.addEventListener('change', () => pick(view));
    line.append(element('label', { class: 'head' }, input, canvas, nameOf(view)));
    return canvas;
  });
}

/** The controls of mask and positions; the result reads them. */
function mountSettings(changed: () => void): () => Setting {
  const mask = byId<HTMLSelectElement>('mask');
  const reach = byId<HTMLInputElement>('reach');
  const [sinusoidal, alibi, rope] = ['sinusoidal', 'alibi', 'rope'].map((id) => byId<HTMLInputElement>(id));
  fillMasks(mask, changed);
  for (const input of [reach, sinusoidal, alibi, rope]) input.addEventListener('input', changed);
  return () => ({
    mask: mask.value as Setting['mask'],
    size: Number(reach.value),
    sinusoidal: sinusoidal.checked,
    alibi: alibi.checked,
    rope: rope.checked,
  });
}
