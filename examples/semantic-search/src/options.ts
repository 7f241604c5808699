import { parseArgs } from 'node:util';
import { HEADS, LAYERS } from './encoder.ts';

export const USAGE = `Semantic search with the Universal Sentence Encoder Lite on the kernels of wasm-attention.

npm run demo                                 three queries over the shipped sentences
npm run demo -- "How do whales breathe?"     your own query, or several
echo "How do whales breathe?" | npm run demo queries from a pipe, one a line

      -               read queries from standard input, however long it takes (a pipe silent for 2 s counts as none)
  --corpus <file>     search your own sentences, one a line, UTF-8
  --top <n>           show the n best sentences of each query (default 5)
  --heatmap           show where the tokens of the first query look
  --svg <file>        write that heatmap as an SVG file
  --layer <1-${LAYERS}>       of the heatmap (default 1)
  --head <1-${HEADS}>        of the heatmap (default: mean of the heads)
  --build <name>      simd, relaxed or auto (default auto)
  -h, --help
`;

/** What the user got wrong, to be said without a stack. */
export class UsageError extends Error {}

export type Options = {
  queries: string[];
  stdin: boolean;
  corpus?: string;
  top: number;
  heatmap: boolean;
  svg?: string;
  layer: number;
  head?: number;
  build: 'simd' | 'relaxed' | 'auto';
  help: boolean;
};

export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const { corpus, svg, heatmap = false, help = false, build = 'auto' } = values;
  const whole = (name: 'top' | 'layer' | 'head', max: number) => {
    const given = values[name];
    if (given === undefined) return undefined;
    if (!/^\d+$/.test(given) || Number(given) < 1 || Number(given) > max)
      throw new UsageError(
        `--${name} is "${given}", but must be a whole number from 1${max < Infinity ? ` to ${max}` : ''}`,
      );
    return Number(given);
  };
  if (build !== 'simd' && build !== 'relaxed' && build !== 'auto')
    throw new UsageError(`--build is "${build}", but must be simd, relaxed or auto`);
  const [layer, head] = [whole('layer', LAYERS), whole('head', HEADS)];
  if ((layer ?? head) !== undefined && !heatmap && svg === undefined)
    throw new UsageError('--layer and --head choose what --heatmap or --svg shows; give one of those too');
  const queries = positionals.filter((text) => text !== '-').map((text) => text.trim());
  if (queries.includes('')) throw new UsageError('a query is empty');
  return {
    queries,
    stdin: positionals.includes('-'),
    corpus,
    top: whole('top', Infinity) ?? 5,
    heatmap,
    svg,
    layer: layer ?? 1,
    head,
    build,
    help,
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        corpus: text,
        top: text,
        heatmap: flag,
        svg: text,
        layer: text,
        head: text,
        build: text,
        help: { ...flag, short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
