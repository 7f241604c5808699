import { wrongKind } from '../../check.ts';
import { complement, type Intervals, intersection, none, union } from '../intervals.ts';
import { planMask } from '../plan.ts';
import { drawCharacters, drawSVG } from './draw.ts';
import { type MaskReport, type MaskSizes, reportOf, sizesFor } from './report.ts';

/** What a mask is asked about: sizes, and the position of query 0 in each batch. */
export type MaskContext = {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Position of query 0. */
  readonly queryOffset: (batch: number) => number;
};

/** The keys that a query sees. Rows that are the same array are planned as one. */
export type RowOf = (query: number) => Intervals;

export type MaskDefinition = {
  /** What rows depend on beside the query: the batch, the head, the position of query 0. */
  readonly varies?: { readonly batch?: boolean; readonly head?: boolean; readonly position?: boolean };
  /** The rows of one head. */
  readonly rows: (context: MaskContext, batch: number, head: number) => RowOf;
  /** Throws where the mask does not fit the sizes. */
  readonly check?: (where: string, context: MaskContext) => void;
  /** Where each row is the one before it, a key further: how far left and right of its position it sees. */
  readonly reach?: readonly [left: number, right: number];
  /** With `reach`: the positions, in order, that beside it see all and that all see. */
  readonly globals?: (batch: number) => readonly number[];
  /** `'changing'`: rows may differ between calls of equal sizes. `'costly'`: their plans are kept, however small. Default `'cheap'`. */
  readonly content?: 'cheap' | 'costly' | 'changing';
};

/** Which keys each query may attend to. Masks combine with `and`, `or` and `not`. Made by `masks`. */
export class AttentionMask {
  /** @internal What rows depend on beside the query. */
  readonly varies: { readonly batch: boolean; readonly head: boolean; readonly position: boolean };
  /** @internal Whether, and how long, plans are kept. */
  readonly content: 'cheap' | 'costly' | 'changing';
  readonly #definition: MaskDefinition;
  /** Of conjunctions: made again, they would be planned again. */
  readonly #conjunctions = new WeakMap<AttentionMask, AttentionMask>();

  /** @internal */
  constructor(definition: MaskDefinition) {
    const { varies = {}, content = 'cheap' } = definition;
    this.#definition = definition;
    this.varies = { batch: varies.batch ?? false, head: varies.head ?? false, position: varies.position ?? false };
    this.content = content;
  }

  /** @internal */
  get reach(): readonly [number, number] | undefined {
    return this.#definition.reach;
  }

  /** @internal */
  globals(batch: number): readonly number[] {
    return this.#definition.globals?.(batch) ?? [];
  }

  /** @internal The keys that each query of a head sees. */
  rows(context: MaskContext, batch: number, head: number): RowOf {
    return this.#definition.rows(context, batch, head);
  }

  /** @internal Throws where the mask does not fit the sizes. */
  check(where: string, context: MaskContext): void {
    this.#definition.check?.(where, context);
  }

  /** Visible where both are. */
  and(other: AttentionMask): AttentionMask {
    checkMask('and', other);
    const made = this.#conjunctions.get(other) ?? this.#with(other, intersection, Math.min);
    this.#conjunctions.set(other, made);
    return made;
  }

  /** Visible where either is. */
  or(other: AttentionMask): AttentionMask {
    checkMask('or', other);
    return this.#with(other, union, Math.max);
  }

  /** Visible where this is not. */
  not(): AttentionMask {
    return new AttentionMask({
      ...this.#definition,
      reach: undefined,
      globals: undefined,
      rows: (context, batch, head) => {
        const row = this.rows(context, batch, head);
        return remembering(
          row,
          () => none,
          (keys) => complement(keys, context.keys),
        );
      },
    });
  }

  /**
   * What the mask costs: tiles, pairs, FLOPs, bytes, and the predicted share of the time that attention without a mask takes.
   * @throws RangeError for sizes that are wrong or that the mask does not fit
   */
  plan(sizes: MaskSizes): MaskReport {
    const context = sizesFor('plan', this, sizes);
    return reportOf(planMask(this, context), context, sizes);
  }

  /**
   * The mask in characters, a row a query or a stretch of them: `█` all pairs visible, `▒` some, `·` none. Without sizes: its name.
   * @param sizes with `batch` and `head`, which one is drawn (default 0), and `width`, the most characters of a line (default 64)
   */
  toString(sizes?: MaskSizes & DrawOptions): string {
    return sizes === undefined ? '[AttentionMask]' : drawCharacters(this, sizesFor('toString', this, sizes), sizes);
  }

  /** The mask as an SVG picture, a square a stretch of pairs, the darker the more of them are visible; `width` squares at most. */
  toSVG(sizes: MaskSizes & DrawOptions): string {
    return drawSVG(this, sizesFor('toSVG', this, sizes), sizes);
  }

  #with(
    other: AttentionMask,
    combine: (a: Intervals, b: Intervals) => Intervals,
    extent: (a: number, b: number) => number,
  ): AttentionMask {
    const [a, b] = [this, other].map((mask) => (mask.#definition.globals ? undefined : mask.reach));
    const contents = [this.content, other.content];
    return new AttentionMask({
      varies: {
        batch: this.varies.batch || other.varies.batch,
        head: this.varies.head || other.varies.head,
        position: this.varies.position || other.varies.position,
      },
      content: contents.includes('changing') ? 'changing' : contents.includes('costly') ? 'costly' : 'cheap',
      reach: a && b && [extent(a[0], b[0]), extent(a[1], b[1])],
      rows: (context, batch, head) =>
        remembering(this.rows(context, batch, head), other.rows(context, batch, head), combine),
      check: (where, context) => {
        this.check(where, context);
        other.check(where, context);
      },
    });
  }
}

/** Which part of a mask is drawn, and how finely. */
export type DrawOptions = {
  /** Default 0. */
  batchIndex?: number;
  /** Default 0. */
  headIndex?: number;
  /** The most characters or squares of a line; default 64. */
  width?: number;
};

/** Where both rows are the same arrays as for the query before, so is the result. */
function remembering(a: RowOf, b: RowOf, combine: (a: Intervals, b: Intervals) => Intervals): RowOf {
  let left: Intervals | undefined;
  let right: Intervals | undefined;
  let result: Intervals = [];
  return (query) => {
    const [x, y] = [a(query), b(query)];
    if (x !== left || y !== right) result = combine(x, y);
    left = x;
    right = y;
    return result;
  };
}

function checkMask(where: string, other: unknown): void {
  if (!(other instanceof AttentionMask)) throw wrongKind(where, 'other', 'an AttentionMask', other);
}
