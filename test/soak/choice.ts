import fc, { type GeneratorValue } from 'fast-check';

/** Random choices for one call, by fast-check, which makes them smaller where the call fails. */
export class Choice {
  constructor(readonly draw: GeneratorValue) {}

  integer(min: number, max: number): number {
    return this.draw(fc.integer, { min, max });
  }

  one<T>(...values: readonly T[]): T {
    return values[this.integer(0, values.length - 1)];
  }

  chance(): boolean {
    return this.integer(0, 1) === 1;
  }

  /** Mostly undefined: of a dozen options few are given together. */
  maybe<T>(make: () => T): T | undefined {
    return this.integer(0, 3) === 3 ? make() : undefined;
  }

  /** Mostly up to `few`, at times up to `many`. */
  size(few: number, many: number, least = 1): number {
    return this.integer(0, 9) === 9 ? this.integer(least, many) : this.integer(least, few);
  }

  seed(): number {
    return this.integer(0, 9999);
  }

  list(length: number, min: number, max: number): number[] {
    return Array.from({ length }, () => this.integer(min, max));
  }
}
