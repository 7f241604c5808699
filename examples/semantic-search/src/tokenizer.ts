import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Tokenize, unigramTokenizer } from './vocabulary.ts';
import { modelFolder } from './weights.ts';

export type { Tokenize } from './vocabulary.ts';

/** The tokenizer of the model in a folder. */
export const createTokenizer = (folder = modelFolder): Tokenize =>
  unigramTokenizer(JSON.parse(readFileSync(join(folder, 'vocab.json'), 'utf8')));
