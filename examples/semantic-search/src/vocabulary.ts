import { Tokenizer } from '@huggingface/tokenizers';

/** The model's vocab.json: each piece with its logarithmic probability. */
export type Vocabulary = [piece: string, score: number][];

/** Vocabulary entries that stand for no text: unknown, sentence begin and end, and three that the model leaves free. */
const RESERVED = 6;

/** The ids of a text's tokens and the pieces that they stand for; ▁ is a space. */
export type Tokenize = (text: string) => { ids: number[]; tokens: string[] };

/** A SentencePiece unigram tokenizer, with NFKC and single spaces, as SentencePiece normalises. */
export function unigramTokenizer(vocabulary: Vocabulary): Tokenize {
  // A reserved piece is spelt with a space, which no text has once spaces are ▁: a typed "<s>" stays text.
  const vocab = vocabulary.map(([piece, score], id) => (id > 0 && id < RESERVED ? [` ${piece}`, 0] : [piece, score]));
  const tokenizer = new Tokenizer(
    {
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFKC' },
          { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
          { type: 'Strip', strip_left: true, strip_right: true },
        ],
      },
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
      model: { type: 'Unigram', vocab, unk_id: 0 },
      post_processor: null,
      decoder: null,
      added_tokens: [],
    },
    {},
  );
  return (text) => tokenizer.encode(text);
}
