import { Segment } from '../../assembly/params.ts';

/** A page that became a sequence's own, in the place of `from`, whose content is to be copied, or as a new one. */
export type Claim = { sequence: number; index: number; page: number; from?: number };

/** Which rows of a store each of several sequences has: pages of equal size, some of them shared. */
export class Pages {
  readonly #free: number[];
  readonly #uses: Int32Array;
  /** Of each sequence, its pages in order. */
  readonly #tables: number[][];

  constructor(
    readonly pageSize: number,
    pages: number,
    sequences: number,
  ) {
    this.#free = Array.from({ length: pages }, (_, page) => pages - 1 - page);
    this.#uses = new Int32Array(pages);
    this.#tables = Array.from({ length: sequences }, () => []);
  }

  get free(): number {
    return this.#free.length;
  }

  /**
   * Makes slots [start, end) of each sequence its own to write. A page that others share is left to them.
   * @throws RangeError where too few pages are free; nothing has changed then
   */
  claim(where: string, slots: readonly (readonly [number, number])[]): Claim[] {
    const claims: Claim[] = [];
    const { length } = this.#free;
    const others = new Map<number, number>();
    slots.forEach(([start, end], sequence) => {
      if (start >= end) return;
      const table = this.#tables[sequence];
      for (let index = this.#pageOf(start); index <= this.#pageOf(end - 1); index++) {
        const from: number | undefined = table[index];
        if (from !== undefined) {
          const uses = others.get(from) ?? this.#uses[from];
          if (uses === 1) continue;
          others.set(from, uses - 1);
        }
        claims.push({ sequence, index, page: this.#free[length - 1 - claims.length], from });
      }
    });
    if (claims.length > length)
      throw new RangeError(`${where}: ${claims.length} pages are needed, but ${length} are free`);
    for (const { sequence, index, page, from } of claims) {
      this.#free.pop();
      this.#uses[page] = 1;
      if (from !== undefined) this.#uses[from]--;
      this.#tables[sequence][index] = page;
    }
    return claims;
  }

  /** Undoes the last `claim`. */
  revert(claims: readonly Claim[]): void {
    for (const { sequence, index, page, from } of [...claims].reverse()) {
      this.#release(page);
      if (from === undefined) this.#tables[sequence].length = index;
      else {
        this.#tables[sequence][index] = from;
        this.#uses[from]++;
      }
    }
  }

  /** Keeps the pages of the first `slots` slots. */
  truncate(sequence: number, slots: number): void {
    const table = this.#tables[sequence];
    while (table.length > Math.ceil(slots / this.pageSize)) this.#release(table.pop()!);
  }

  /** Makes `target` share the pages of `source`. */
  share(source: number, target: number): void {
    this.truncate(target, 0);
    this.#tables[target].push(...this.#tables[source]);
    for (const page of this.#tables[target]) this.#uses[page]++;
  }

  /** The store's row of a slot. */
  row(sequence: number, slot: number): number {
    return this.#tables[sequence][this.#pageOf(slot)] * this.pageSize + (slot % this.pageSize);
  }

  /** Appends segment records of slots [first, end) as keys from `start` on; neighbouring pages become one segment. */
  segments(records: number[], sequence: number, start: number, first: number, end: number): void {
    for (let slot = first; slot < end; ) {
      const row = this.row(sequence, slot);
      const last = records.length - Segment.words;
      const key = start + slot - first;
      const joins = last >= 0 && records[last + Segment.row] + key - records[last] === row;
      if (!joins) records.push(key, row);
      slot += this.pageSize - (slot % this.pageSize);
    }
  }

  #pageOf(slot: number): number {
    return Math.floor(slot / this.pageSize);
  }

  #release(page: number): void {
    if (--this.#uses[page] === 0) this.#free.push(page);
  }
}
