import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type Layout, stridesOf } from './options.ts';
import type { Sequences } from './sequences.ts';

/**
 * The first tokens' keys as they came, to be turned again whenever tokens behind them are dropped: the sinks move up, so that
 * distances count what is in the cache (Xiao et al. 2023, StreamingLLM, section 3.2).
 */
export class Sinks {
  /** [batch, kvHeads, sinks, headDim] */
  readonly keys: Tensor;

  constructor(runtime: Runtime, batch: number, kvHeads: number, sinks: number, headDim: number) {
    this.keys = runtime.keep(runtime.empty([batch, kvHeads, sinks, headDim]));
  }

  /** Remembers the sinks among keys that are about to be appended. */
  remember(key: Tensor, layout: Layout, counts: readonly number[], positions: readonly number[]): void {
    const [, kvHeads, sinks, headDim] = this.keys.shape;
    const [from, to] = [key.data, this.keys.data];
    const [batchStride, headStride, rowStride] = stridesOf(key.shape, layout);
    counts.forEach((count, b) => {
      for (let i = 0; i < Math.min(count, sinks - positions[b]); i++) {
        for (let h = 0; h < kvHeads; h++) {
          const at = b * batchStride + h * headStride + i * rowStride;
          to.set(from.subarray(at, at + headDim), ((b * kvHeads + h) * sinks + positions[b] + i) * headDim);
        }
      }
    });
  }

  /**
   * The sinks of before that `counts` more tokens move: their rows in the store and new positions, [batch · sinks].
   * @param rowOf the row of a slot
   */
  moved(
    sequences: Sequences,
    counts: readonly number[],
    rowOf: (sequence: number, slot: number) => number,
  ): { rows: Int32Array; positions: Float64Array } | undefined {
    const { sinks } = sequences;
    const rows = new Int32Array(counts.length * sinks).fill(-1);
    const positions = new Float64Array(rows.length);
    sequences.positions.forEach((total, b) => {
      const dropped = sequences.dropped(b, counts[b]);
      if (dropped === sequences.dropped(b)) return;
      for (let s = 0; s < Math.min(sinks, total); s++) {
        rows[b * sinks + s] = rowOf(b, s);
        positions[b * sinks + s] = s + dropped;
      }
    });
    return rows.every((row) => row < 0) ? undefined : { rows, positions };
  }

  dispose(): void {
    this.keys.dispose();
  }
}
