import { type AttentionMask, masks } from 'wasm-attention';

export type MaskChoice = {
  label: string;
  says: string;
  /** Whether a window or a block can be chosen. */
  sized: boolean;
  make: (tokens: number, size: number) => AttentionMask;
};

/** `size` is the window's reach on either side, or the size of a block. */
export const maskChoices = {
  full: {
    label: 'full',
    says: 'Every token may look at every other.',
    sized: false,
    make: () => masks.slidingWindow(Infinity, Infinity),
  },
  causal: {
    label: 'causal',
    says: 'Only back: what a model needs that writes one token after the other.',
    sized: false,
    make: () => masks.causal(),
  },
  window: {
    label: 'sliding window',
    says: 'Only so far to either side. Layers on top of each other still carry news further.',
    sized: true,
    make: (_, size) => masks.slidingWindow(size, size),
  },
  longformer: {
    label: 'Longformer',
    says: 'A window, and the first token sees all and is seen by all (Beltagy et al. 2020).',
    sized: true,
    make: (_, size) => masks.longformer({ window: size, globalTokens: [0] }),
  },
  bigBird: {
    label: 'BigBird',
    says: 'Blocks: neighbours, the first and the last, and a few at random, others for each head (Zaheer et al. 2020).',
    sized: true,
    make: (tokens, size) => masks.bigBird({ blockSize: size, randomBlocks: tokens < 16 * size ? 1 : 3 }),
  },
  dilated: {
    label: 'dilated window',
    says: 'A window with gaps: every second key, so twice as far.',
    sized: true,
    make: (_, size) => masks.dilated({ window: size, dilation: 2 }),
  },
  chunked: {
    label: 'chunks',
    says: 'Only within the own stretch of the text.',
    sized: true,
    make: (_, size) => masks.chunked(size),
  },
  prefix: {
    label: 'prefix',
    says: 'The first tokens see each other; those that follow look only back.',
    sized: true,
    make: (tokens, size) => masks.prefixLM(Math.min(size, tokens)),
  },
  documents: {
    label: 'two documents',
    says: 'Two texts packed into one sequence, and neither sees the other.',
    sized: false,
    make: (tokens) => masks.documents([0, Math.ceil(tokens / 2), tokens]),
  },
} satisfies Record<string, MaskChoice>;

export type MaskName = keyof typeof maskChoices;

/** Fills a select with the masks; `pick` is called with the name of the one chosen. */
export function fillMasks(select: HTMLSelectElement, pick: (name: MaskName) => void): void {
  for (const [name, { label }] of Object.entries(maskChoices)) select.add(new Option(label, name));
  select.addEventListener('change', () => pick(select.value as MaskName));
}

export const sentences = [
  'The animal didn’t cross the street because it was too tired.',
  'How do whales breathe?',
  'I love to sail forbidden seas, and land on barbarous coasts.',
  'The bank of the river was muddy, so she went to the bank in town.',
  'Never draw conclusions before you know the facts.',
];
