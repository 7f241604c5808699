import { complement, none, union } from '../intervals.ts';
import { planMask } from '../plan.ts';
import { type DrawOptions, drawCharacters, drawSVG } from './draw.ts';
import { type MaskReport, type MaskSizes, reportOf, sizesFor } from './report.ts';
import { checkMask, combined, remembering, Visibility } from './visibility.ts';

/** Which keys each query may attend to. Masks combine with `and`, `or` and `not`. Made by `masks`. */
export class AttentionMask extends Visibility {
  /** Visible where both are. */
  override and(other: AttentionMask): AttentionMask {
    return super.and(other) as AttentionMask;
  }

  /** Visible where either is. */
  or(other: AttentionMask): AttentionMask {
    checkMask('or', other);
    return new AttentionMask(combined(this, other, union, Math.max));
  }

  /** Visible where this is not. */
  not(): AttentionMask {
    return new AttentionMask({
      ...this.definition,
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
  override toString(sizes?: MaskSizes & DrawOptions): string {
    return sizes === undefined ? '[AttentionMask]' : drawCharacters(this, sizesFor('toString', this, sizes), sizes);
  }

  /** The mask as an SVG picture, a square a stretch of pairs, the darker the more of them are visible; `width` squares at most. */
  toSVG(sizes: MaskSizes & DrawOptions): string {
    return drawSVG(this, sizesFor('toSVG', this, sizes), sizes);
  }
}
