import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import chalk from 'chalk';
import { createRuntime } from 'wasm-attention';
import { attentionMap } from './attention.ts';
import { SentenceEncoder } from './encoder.ts';
import { corpusOf, pipedLines, shippedCorpus } from './input.ts';
import { parseOptions, USAGE, UsageError } from './options.ts';
import { embedTexts, rank } from './search.ts';
import { heatmapSvg } from './svg.ts';
import { heatmapText, rankingText } from './terminal.ts';
import { createTokenizer } from './tokenizer.ts';
import { loadWeights, modelFolder } from './weights.ts';

const DEFAULT_QUERIES = [
  'How do whales breathe?',
  'Are railways punctual?',
  'Never draw conclusions before you know the facts.',
];

/** npm runs scripts in the package's folder and keeps the user's in INIT_CWD. */
const userPath = (file: string) => resolve(process.env.INIT_CWD ?? '.', file);

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options.help) return void process.stdout.write(USAGE);
  const corpus = options.corpus === undefined ? shippedCorpus() : corpusOf(userPath(options.corpus));
  const piped = options.stdin || options.queries.length === 0 ? await pipedLines(options.stdin) : [];
  const given = [...options.queries, ...piped];
  const queries = given.length > 0 ? given : DEFAULT_QUERIES;

  using runtime = await createRuntime({ build: options.build }).catch((error: Error) => {
    throw options.build === 'auto' ? error : new UsageError(`--build ${options.build}: ${error.message}`);
  });
  const encoder = new SentenceEncoder(runtime, loadWeights(modelFolder));
  const tokenize = createTokenizer();
  const begin = performance.now();
  const texts = [...corpus.map(([sentence]) => sentence), ...queries];
  const { embeddings, tokens, cut } = embedTexts(encoder, tokenize, texts);
  const milliseconds = performance.now() - begin;

  const found = rank(embeddings.slice(corpus.length, queries.length), embeddings.slice(0, corpus.length), options.top);
  for (const [q, hits] of found.entries()) console.log(`${rankingText(queries[q], hits, (index) => corpus[index])}\n`);
  if (options.heatmap || options.svg !== undefined) {
    const map = attentionMap(encoder, tokenize, queries[0], options);
    if (options.heatmap) console.log(`${heatmapText(map, process.stdout.columns)}\n`);
    if (options.svg !== undefined) {
      writeFileSync(userPath(options.svg), heatmapSvg(map));
      console.log(`heatmap of "${queries[0]}" written to ${options.svg}`);
    }
  }
  const loss = cut > 0 ? `, ${cut} cut after 128 tokens` : '';
  const work = `${texts.length} sentences, ${tokens} tokens${loss} in ${milliseconds.toFixed(0)} ms`;
  console.log(chalk.dim(`Universal Sentence Encoder Lite on wasm-attention (${runtime.build} build): ${work}`));
}

// The reader may close the pipe early, as `head` does.
process.stdout.on('error', () => process.exit());
try {
  await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof UsageError || (error as NodeJS.ErrnoException).syscall !== undefined;
  if (!known) throw error;
  console.error(`${(error as Error).message}\nnpm run demo -- --help tells the options.`);
  process.exitCode = 2;
}
