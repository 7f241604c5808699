import { attentionWeights, RotaryEmbedding, type Runtime } from 'wasm-attention';
import { byId, svg } from './dom.ts';

const DIM = 8;
const BASE = 100;
const query = [0.9, 0.3, 0.2, 0.8, -0.5, 0.7, 0.6, 0.6];
const key = [0.7, 0.6, 0.7, 0.3, -0.2, 0.9, 0.8, 0.2];
const FURTHEST = 32;
const HEIGHT = 150;

/** The section on rotary positions: dials for the pairs, and the dot product over distances. */
export function mountRotation(runtime: Runtime): void {
  const rotary = new RotaryEmbedding(runtime, { headDim: DIM, base: BASE, style: 'interleaved' });
  const [position, distance] = ['position', 'distance'].map((id) => byId<HTMLInputElement>(id));
  const dials = Array.from({ length: DIM / 2 }, (_, pair) => dial(pair));
  byId('dials').append(...dials.map(({ picture }) => picture));

  /** Query and key turned by their positions, and their dot product. */
  const turned = (at: number, away: number) =>
    runtime.scope(() => {
      const rotated = (data: number[], offset: number) =>
        rotary.apply(runtime.tensor([1, 1, 1, DIM], data), { offset });
      const [q, k] = [rotated(query, at), rotated(key, at - away)];
      return { q: [...q.data], k: [...k.data], dot: attentionWeights(q, k, { scale: 1, stage: 'scores' }).data[0] };
    });
  const products = Array.from({ length: 2 * FURTHEST + 1 }, (_, i) => turned(0, i - FURTHEST).dot);
  const marker = drawDistances(products);

  function show(): void {
    const [at, away] = [Number(position.value), Number(distance.value)];
    const { q, k, dot } = turned(at, away);
    byId('position-value').textContent = at.toFixed(2);
    byId('distance-value').textContent = `${away}`;
    byId('dot').textContent = `q·k = ${dot.toFixed(4)}`;
    dials.forEach(({ arrows }, pair) => {
      [q, k].forEach((vector, a) => {
        arrows[a].setAttribute('x2', `${50 + 38 * vector[2 * pair]}`);
        arrows[a].setAttribute('y2', `${50 - 38 * vector[2 * pair + 1]}`);
      });
    });
    marker(away, dot);
  }
  for (const input of [position, distance]) input.addEventListener('input', show);
  mountPlay(position, show);
  show();
}

/** Plays through the positions; where motion is not wanted, a press is one step. */
function mountPlay(position: HTMLInputElement, show: () => void): void {
  const button = byId<HTMLButtonElement>('play');
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let frame = 0;
  let last = 0;
  const move = (by: number) => {
    position.value = `${(Number(position.value) + by) % Number(position.max)}`;
    show();
  };
  const pause = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    button.textContent = still.matches ? 'Move both by 1' : 'Move both';
  };
  const step = (now: number) => {
    if (now - last >= 50) {
      move(0.25);
      last = now;
    }
    frame = requestAnimationFrame(step);
  };
  button.addEventListener('click', () => {
    if (still.matches) return move(1);
    if (frame) return pause();
    frame = requestAnimationFrame(step);
    button.textContent = 'Pause';
  });
  still.addEventListener('change', pause);
  position.addEventListener('pointerdown', pause);
  pause();
}

function dial(pair: number) {
  const arrows = ['query', 'key'].map((name) => svg('line', { x1: 50, y1: 50, class: `arrow ${name}` }));
  const picture = svg(
    'svg',
    { viewBox: '0 0 100 118', role: 'img', 'aria-label': `Pair ${pair}, turned` },
    svg('circle', { cx: 50, cy: 50, r: 46, class: 'rim' }),
    svg('path', { d: 'M4 50H96M50 4V96', class: 'grid' }),
    ...arrows,
    svg('text', { x: 50, y: 113, 'text-anchor': 'middle' }, `θ = ${+(BASE ** ((-2 * pair) / DIM)).toPrecision(3)}`),
  );
  return { picture, arrows };
}

/** q·k over the distance; the result moves the mark. */
function drawDistances(products: readonly number[]): (away: number, dot: number) => void {
  const width = byId('distances').clientWidth;
  const most = Math.max(...products.map(Math.abs));
  const across = (away: number) => 8 + ((away + FURTHEST) / (2 * FURTHEST)) * (width - 16);
  const up = (dot: number) => 65 - (dot / most) * 55;
  const mark = svg('circle', { r: 6, class: 'mark tiles' });
  const path = products.map((dot, i) => `${across(i - FURTHEST).toFixed(1)},${up(dot).toFixed(1)}`).join(' ');
  byId('distances').append(
    svg(
      'svg',
      { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': 'The dot product over the distance' },
      svg('line', { x1: 8, x2: width - 8, y1: 65, y2: 65, class: 'grid' }),
      svg('polyline', { points: path, class: 'curve tiles' }),
      mark,
      ...[-32, -16, 0, 16, 32].map((away) =>
        svg(
          'text',
          { x: across(away), y: HEIGHT - 4, 'text-anchor': away < -16 ? 'start' : away > 16 ? 'end' : 'middle' },
          `${away}`,
        ),
      ),
    ),
  );
  return (away, dot) => {
    mark.setAttribute('cx', `${across(away)}`);
    mark.setAttribute('cy', `${up(dot)}`);
  };
}
