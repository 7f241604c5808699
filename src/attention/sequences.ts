import { Segment } from '../../assembly/params.ts';
import type { KeyValues } from './keyValues.ts';
import type { Pages } from './pages.ts';

/** `total` tokens were appended, of which `kept` are in the cache: the sinks and the last ones. */
type Sequence = { total: number; kept: number };

/**
 * Which tokens of several sequences are kept, and in which slot: token t in slot t or, with a window, from the sinks on
 * in a ring of `window` slots: sinks + (t − sinks) mod window.
 */
export class Sequences {
  readonly #all: Sequence[];

  constructor(
    batch: number,
    readonly capacity: number,
    readonly window: number | undefined,
    readonly sinks: number,
  ) {
    this.#all = Array.from({ length: batch }, () => ({ total: 0, kept: 0 }));
  }

  get lengths(): number[] {
    return this.#all.map(({ kept }) => kept);
  }

  get positions(): number[] {
    return this.#all.map(({ total }) => total);
  }

  /** How many tokens between the sinks and the others are gone once a sequence has `count` more. */
  dropped(b: number, count = 0): number {
    const { total, kept } = this.#all[b];
    return total - kept + Math.max(kept + count - this.capacity, 0);
  }

  /** The slots [start, end) that no token has had and `count` more will have. */
  newSlots(b: number, count: number): [number, number] {
    const { total } = this.#all[b];
    if (this.window === undefined) return [total, total + count];
    return [Math.min(total, this.capacity), Math.min(total + count, this.capacity)];
  }

  /** The slot of a token once the sequence has `count` more; undefined where it is overwritten at once. */
  slot(b: number, token: number, count: number): number | undefined {
    if (this.window === undefined || token < this.sinks) return token;
    if (token < this.#all[b].total + count - this.window) return undefined;
    return this.sinks + ((token - this.sinks) % this.window);
  }

  append(counts: readonly number[]): void {
    counts.forEach((count, b) => {
      const sequence = this.#all[b];
      sequence.total += count;
      sequence.kept = Math.min(sequence.kept + count, this.capacity);
    });
  }

  /** Drops the last tokens; returns whether the first `kept` slots are now all that the sequence has. */
  truncate(b: number, kept: number): boolean {
    const sequence = this.#all[b];
    sequence.total -= sequence.kept - kept;
    sequence.kept = kept;
    return sequence.total === kept;
  }

  reset(): void {
    for (const sequence of this.#all) Object.assign(sequence, { total: 0, kept: 0 });
  }

  fork(source: number, target: number): void {
    Object.assign(this.#all[target], this.#all[source]);
  }

  /** Where the kept tokens lie in the store, in their order. */
  segments(pages: Pages): NonNullable<KeyValues['segments']> {
    const records: number[] = [];
    const starts = Int32Array.from(this.#all, ({ total, kept }, b) => {
      const start = records.length / Segment.words;
      const own: number[] = [];
      const turned = this.window !== undefined && total > kept;
      pages.segments(own, b, 0, 0, turned ? this.sinks : kept);
      if (turned) {
        const count = kept - this.sinks;
        const oldest = this.sinks + ((total - kept) % this.window!);
        const first = Math.min(count, this.capacity - oldest);
        pages.segments(own, b, this.sinks, oldest, oldest + first);
        pages.segments(own, b, this.sinks + first, this.sinks, this.sinks + count - first);
      }
      if (own.length === 0) own.push(0, 0);
      records.push(...own, NO_KEY_MORE, 0);
      return start;
    });
    return { records: Int32Array.from(records), starts };
  }
}

const NO_KEY_MORE = 2 ** 31 - 1;
