import { Segment } from '../../assembly/params.ts';

/** Which rows of a store each of several sequences has: pages of equal size, some of them shared. */
export class Pages {
  readonly #free: number[];
  readonly #uses: Int32Array;
  /** Of each sequence, its pages in order. */
  readonly tables: number[][];

  constructor(
    readonly pageSize: number,
    pages: number,
    sequences: number,
  ) {
    this.#free = Array.from({ length: pages }, (_, page) => pages - 1 - page);
    this.#uses = new Int32Array(pages);
    this.tables = Array.from({ length: sequences }, () => []);
  }

  get free(): number {
    return this.#free.length;
  }

  /** How many free pages `claim` would take. */
  needed(sequence: number, start: number, end: number): number {
    const table = this.tables[sequence];
    if (start >= end) return 0;
    let pages = 0;
    for (let p = this.#pageOf(start); p <= this.#pageOf(end - 1); p++)
      if (p >= table.length || this.#uses[table[p]] > 1) pages++;
    return pages;
  }

  /**
   * Makes the sequence's slots `start` … `end` its own to write. A page that others share is left to them.
   * @returns pages [from, to] whose content must be copied
   */
  claim(sequence: number, start: number, end: number): [number, number][] {
    const table = this.tables[sequence];
    const copies: [number, number][] = [];
    if (start >= end) return copies;
    for (let p = this.#pageOf(start); p <= this.#pageOf(end - 1); p++) {
      if (p < table.length && this.#uses[table[p]] === 1) continue;
      const page = this.#free.pop()!;
      this.#uses[page] = 1;
      if (p < table.length) {
        copies.push([table[p], page]);
        this.#uses[table[p]]--;
      }
      table[p] = page;
    }
    return copies;
  }

  /** Keeps the pages of the first `slots` slots. */
  truncate(sequence: number, slots: number): void {
    const table = this.tables[sequence];
    for (let p = table.length - 1; p >= Math.ceil(slots / this.pageSize); p--) this.#release(table.pop()!);
  }

  /** Makes `target` share the pages of `source`. */
  share(source: number, target: number): void {
    this.truncate(target, 0);
    this.tables[target].push(...this.tables[source]);
    for (const page of this.tables[target]) this.#uses[page]++;
  }

  /** The store's row of a slot. */
  row(sequence: number, slot: number): number {
    return this.tables[sequence][this.#pageOf(slot)] * this.pageSize + (slot % this.pageSize);
  }

  /** Appends segment records of slots `first` … `end` as keys from `start` on; neighbouring pages become one segment. */
  segments(records: number[], sequence: number, start: number, first: number, end: number): void {
    for (let slot = first; slot < end; ) {
      const row = this.row(sequence, slot);
      const last = records.length - Segment.words;
      const key = start + slot - first;
      const joins = last >= 0 && records[last] < key && records[last + Segment.row] + key - records[last] === row;
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
