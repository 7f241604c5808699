import type { Inputs } from '../data.ts';
import type { Shape } from '../shapes.ts';

/** Something that computes attention: one operator of one system. */
export type Contender = {
  /** What stands in the chart; the best contender of a system speaks for it. */
  system: string;
  /** The operator or the way. */
  way: string;
  /** Throws `DoesNotApply` where it has no way to say the shape, anything else where it fails. */
  prepare(shape: Shape, inputs: Inputs): Prepared | Promise<Prepared>;
};

export type Prepared = {
  /** One call, as a user makes it: result in JavaScript's reach. */
  run(): void | Promise<void>;
  /** The result of the last call: [batch, heads, queries, headDim]. */
  output(): Float32Array;
  /** Linear memory: ours beyond the tensors, a peer's in all. */
  memoryBytes?(): number;
  release(): void | Promise<void>;
};

export class DoesNotApply extends Error {}

/** What one system brings, or why it cannot be had. */
export type Loaded = { system: string; contenders: Contender[]; version?: string; fails?: string };

/** One line of an error, without the paths of the machine that built the peer. */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/^.*ERROR_MESSAGE: /s, '')
    .replace(/\/\S+\s*/g, '')
    .trim()
    .split('\n')[0];
}
