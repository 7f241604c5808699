import type { Call } from './launch.ts';

/**
 * A call in slices: some whole tasks, or a part of one task a thread where a task is too long. Work is counted in pairs of a query
 * and a key that are looked at.
 */
export class Slices {
  /** Pairs of the whole call. */
  readonly total: number;
  readonly #call: Call;
  readonly #pairs: Float64Array;
  readonly #tiles: Generator<number, void, void> | undefined;
  /** Tasks that are not begun; the first ones, since the last ones are taken first. */
  #left: number;
  /** Tasks in parts. */
  #open: { first: number; count: number; turn: number } | undefined;
  #done = 0;

  constructor(call: Call) {
    const passes = call.problem.probMod ? 2 : 1;
    this.#call = call;
    this.#pairs = call.pairs();
    this.#left = call.tasks;
    this.#tiles = call.modified ? call.tiles() : undefined;
    this.total = this.#pairs.reduce((sum, pairs) => sum + pairs, 0) * passes;
  }

  get finished(): boolean {
    return this.#left === 0 && this.#open === undefined;
  }

  /** Goes on for about `size` pairs a thread, one tile each at least; returns how many of all are done. */
  next(size: number): number {
    if (this.#tiles) return this.#nextTiles(this.#tiles, size);
    const { threads } = this.#call.problem.runtime;
    if (this.#open) return this.#nextParts(this.#open, size);
    if (this.#pairs[this.#left - 1] > size) {
      const count = Math.min(threads, this.#left);
      this.#left -= count;
      return this.#nextParts({ first: this.#left, count, turn: 0 }, size);
    }
    const end = this.#left;
    let pairs = 0;
    while (
      this.#left > 0 &&
      this.#pairs[this.#left - 1] <= size &&
      pairs + this.#pairs[this.#left - 1] <= size * threads
    )
      pairs += this.#pairs[--this.#left];
    this.#call.run(this.#left, end - this.#left);
    this.#done += pairs;
    return this.#done;
  }

  #nextParts(open: { first: number; count: number; turn: number }, size: number): number {
    const { rows, tileKeys } = this.#call;
    const keys = Math.max(Math.floor(size / rows / tileKeys), 1) * tileKeys;
    const { first, count, turn } = open;
    const keysDone = this.#call.runParts(first, count, turn, keys);
    const finished = keysDone.every((keys) => keys < 0);
    this.#open = finished ? undefined : { first, count, turn: turn + 1 };
    let pairs = 0;
    keysDone.forEach((keys, at) => {
      const all = this.#pairs[first + at];
      pairs += keys < 0 ? all : Math.min(keys * rows, all);
    });
    if (finished) this.#done += pairs;
    return finished ? this.#done : this.#done + pairs;
  }

  #nextTiles(tiles: Generator<number, void, void>, size: number): number {
    for (let pairs = 0; pairs < size; ) {
      const tile = tiles.next();
      if (tile.done) {
        this.#left = 0;
        return this.total;
      }
      pairs += tile.value;
      // Tasks that are computed again count once.
      this.#done = Math.min(this.#done + tile.value, this.total);
    }
    return this.#done;
  }
}
