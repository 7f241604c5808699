import { type AttentionMap, largest } from './attention.ts';

const WIDTH = 640;
/** About the advance of a 13 px character, in px. */
const CHARACTER = 8;
const INK = '#1f3a93';

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
/** XML has no place for most control characters, not even escaped. */
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => escapes[character]).replace(/\p{Cc}/gu, '□');

/** The heatmap as an SVG document: row = token that looks, column = token looked at; each cell's tooltip has its weight. */
export function heatmapSvg(map: AttentionMap): string {
  const { tokens, weights } = map;
  const label = CHARACTER * Math.max(...tokens.map((token) => token.length)) + 12;
  const [left, top] = [label + 40, label + 92];
  const cell = Math.min(40, Math.max(24, Math.floor((WIDTH - left - 24) / tokens.length)));
  const side = tokens.length * cell;
  const width = Math.max(left + side + 24, WIDTH);
  const height = top + side + 64;
  const max = largest(map);
  const center = (index: number) => index * cell + cell / 2;
  const rows = tokens.map((token, i) => text(left - 8, top + center(i) + 4, token, 'text-anchor="end"'));
  const columns = tokens.map((token, j) =>
    text(0, 4, token, `transform="translate(${left + center(j)} ${top - 8}) rotate(-90)"`),
  );
  const cells = weights.flatMap((row, i) =>
    row.map((weight, j) => {
      const tip = `<title>${escaped(`${tokens[i]} → ${tokens[j]}: ${weight.toFixed(4)}`)}</title>`;
      const place = `x="${left + j * cell}" y="${top + i * cell}" width="${cell}" height="${cell}"`;
      return `<rect ${place} fill="${INK}" fill-opacity="${(weight / max).toFixed(3)}">${tip}</rect>`;
    }),
  );
  const room = Math.floor((width - 40) / (1.2 * CHARACTER));
  const title = map.sentence.length > room ? `${map.sentence.slice(0, room - 1)}…` : map.sentence;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="#222">
<defs><linearGradient id="scale"><stop offset="0" stop-color="${INK}" stop-opacity="0"/><stop offset="1" stop-color="${INK}"/></linearGradient></defs>
<rect width="${width}" height="${height}" fill="#fff"/>
${text(20, 28, title, 'font-size="16" font-weight="600"')}
${text(20, 48, `Universal Sentence Encoder Lite, attention of ${map.caption}`, 'fill="#666"')}
${text(left + side / 2, 76, 'token looked at', 'text-anchor="middle" fill="#666" font-size="12"')}
${text(0, 0, 'token that looks', `text-anchor="middle" fill="#666" font-size="12" transform="translate(24 ${top + side / 2}) rotate(-90)"`)}
${[...rows, ...columns, ...cells].join('\n')}
<rect x="${left}" y="${top}" width="${side}" height="${side}" fill="none" stroke="#999"/>
<rect x="${left}" y="${height - 42}" width="120" height="12" fill="url(#scale)" stroke="#999"/>
${text(left - 6, height - 32, '0', 'text-anchor="end" font-size="12"')}
${text(left + 126, height - 32, max.toFixed(2), 'font-size="12"')}
</svg>
`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`;
}
