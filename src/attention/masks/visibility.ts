import { wrongKind } from '../../check.ts';
import { type Intervals, intersection } from '../intervals.ts';

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

/** What attention needs of a mask; what a caller can do with one beyond that is in `AttentionMask`, and not downloaded without need. */
export class Visibility {
  /** @internal What rows depend on beside the query. */
  readonly varies: { readonly batch: boolean; readonly head: boolean; readonly position: boolean };
  /** @internal Whether, and how long, plans are kept. */
  readonly content: 'cheap' | 'costly' | 'changing';
  /** @internal */
  readonly definition: MaskDefinition;
  /** Made again, they would be planned again. */
  readonly #conjunctions = new WeakMap<Visibility, Visibility>();

  /** @internal */
  constructor(definition: MaskDefinition) {
    const { varies = {}, content = 'cheap' } = definition;
    this.definition = definition;
    this.varies = { batch: varies.batch ?? false, head: varies.head ?? false, position: varies.position ?? false };
    this.content = content;
  }

  /** @internal */
  get reach(): readonly [number, number] | undefined {
    return this.definition.reach;
  }

  /** @internal */
  globals(batch: number): readonly number[] {
    return this.definition.globals?.(batch) ?? [];
  }

  /** @internal The keys that each query of a head sees. */
  rows(context: MaskContext, batch: number, head: number): RowOf {
    return this.definition.rows(context, batch, head);
  }

  /** @internal Throws where the mask does not fit the sizes. */
  check(where: string, context: MaskContext): void {
    this.definition.check?.(where, context);
  }

  /** Visible where both are. */
  and(other: Visibility): Visibility {
    checkMask('and', other);
    const Mask = this.constructor as typeof Visibility;
    const made = this.#conjunctions.get(other) ?? new Mask(combined(this, other, intersection, Math.min));
    this.#conjunctions.set(other, made);
    return made;
  }
}

export function checkMask(where: string, other: unknown): void {
  if (!(other instanceof Visibility)) throw wrongKind(where, 'other', 'an AttentionMask', other);
}

/** A mask of two, row by row. */
export function combined(
  first: Visibility,
  second: Visibility,
  combine: (a: Intervals, b: Intervals) => Intervals,
  extent: (a: number, b: number) => number,
): MaskDefinition {
  const [a, b] = [first, second].map(({ definition }) => (definition.globals ? undefined : definition.reach));
  const contents = [first.content, second.content];
  return {
    varies: {
      batch: first.varies.batch || second.varies.batch,
      head: first.varies.head || second.varies.head,
      position: first.varies.position || second.varies.position,
    },
    content: contents.includes('changing') ? 'changing' : contents.includes('costly') ? 'costly' : 'cheap',
    reach: a && b && [extent(a[0], b[0]), extent(a[1], b[1])],
    rows: (context, batch, head) =>
      remembering(first.rows(context, batch, head), second.rows(context, batch, head), combine),
    check: (where, context) => {
      first.check(where, context);
      second.check(where, context);
    },
  };
}

/** Where both rows are the same arrays as for the query before, so is the result. */
export function remembering(a: RowOf, b: RowOf, combine: (a: Intervals, b: Intervals) => Intervals): RowOf {
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
