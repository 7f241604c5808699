import { element, svg } from './dom.ts';

export type Curve = { name: string; label: string; points: readonly (readonly [x: number, y: number])[] };
export type Axis = { title: string; ticks: readonly (readonly [value: number, label: string])[] };

const HEIGHT = 300;
const room = { left: 56, right: 14, top: 14, bottom: 40 };

/** A line chart with logarithmic axes; curves are told apart by colour, dashes and marks. */
export function drawChart(figure: HTMLElement, title: string, { x, y, curves }: { x: Axis; y: Axis; curves: Curve[] }) {
  const width = figure.clientWidth;
  const place = (axis: Axis, from: number, to: number) => {
    const [low, high] = [axis.ticks[0][0], axis.ticks[axis.ticks.length - 1][0]].map(Math.log);
    return (value: number) => from + ((Math.log(value) - low) / (high - low)) * (to - from);
  };
  const across = place(x, room.left, width - room.right);
  const up = place(y, HEIGHT - room.bottom, room.top);
  const picture = svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': title, class: 'chart' });
  for (const [value, label] of y.ticks) {
    picture.append(
      svg('line', { x1: room.left, x2: width - room.right, y1: up(value), y2: up(value), class: 'grid' }),
      svg('text', { x: room.left - 6, y: up(value) + 4, 'text-anchor': 'end' }, label),
    );
  }
  for (const [value, label] of x.ticks)
    picture.append(svg('text', { x: across(value), y: HEIGHT - room.bottom + 18, 'text-anchor': 'middle' }, label));
  picture.append(svg('text', { x: (room.left + width) / 2, y: HEIGHT - 4, 'text-anchor': 'middle' }, x.title));
  for (const { name, points } of curves) {
    const path = points.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(' ');
    picture.append(svg('polyline', { points: path, class: `curve ${name}` }));
    for (const [a, b] of points)
      picture.append(svg('circle', { cx: across(a), cy: up(b), r: 3, class: `mark ${name}` }));
  }
  const legend = curves.map(({ name, label }) =>
    element('span', { class: 'legend' }, element('i', { class: `line ${name}` }), ` ${label}`),
  );
  figure.replaceChildren(element('figcaption', {}, element('strong', {}, title), ...legend), picture);
}

/** Powers of `base` around the values, each with its label. */
export function powers(values: readonly number[], base: number, label: (value: number) => string): [number, string][] {
  const exponent = (value: number) => Math.log(value) / Math.log(base);
  const first = Math.floor(exponent(Math.min(...values)) + 1e-9);
  const last = Math.max(first + 1, Math.ceil(exponent(Math.max(...values)) - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const value = base ** (first + i);
    return [value, label(value)];
  });
}
