import { type Float64NdArray, headsOf, type Layout, type NdArray, type Precision, zeros } from './array.ts';
import { type AttentionOptions, type AttentionResult, attention } from './attention.ts';
import { roundToEven, roundToHalf } from './half.ts';
import { type RotaryOptions, rotaryEmbedding } from './rope.ts';

/** As the options of the cache in linear memory, without pages. */
export type KVCacheOptions = {
  /** Default 1. */
  batch?: number;
  kvHeads: number;
  headDim: number;
  /** Default headDim. */
  valueDim?: number;
  /** Values are the first valueDim columns of the stored keys. Default false. */
  sharedValues?: boolean;
  maxLength?: number;
  /** In place of maxLength: only the first `sinks` tokens and the last `window` ones are kept. */
  window?: number;
  /** Default 0. */
  sinks?: number;
  /** What stored rows are rounded to. Default `'float32'`: the rows as they came, already float32. */
  dtype?: 'float32' | 'float16' | 'int8';
  /** Turns keys by their positions; those of sinks by as many more as tokens were dropped behind them. */
  rotary?: Omit<RotaryOptions, 'layout' | 'offset' | 'positions' | 'axes' | 'role'>;
};

/** A kept token: [kvHeads][headDim], as it came if it is yet to be turned and else as stored; [kvHeads][valueDim] as stored. */
type Token = { position: number; key: Float64Array[]; value: Float64Array[] };

/**
 * A row as an int8 cache has it: `s·round(x / s)`, `s = max|x| / 127` in float32; NaN as a whole where it is not finite.
 */
export function roundToInt8(row: ArrayLike<number>): Float64Array {
  const most = Array.from(row).reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  if (!Number.isFinite(most)) return new Float64Array(row.length).fill(Number.NaN);
  const scale = Math.fround(most / 127);
  return Float64Array.from(row, (x) => (most === 0 ? 0 : roundToEven(x * (127 / most)) * scale));
}

/** Keys and values of past tokens, as lists: per sequence its tokens, nothing shared, nothing in place. */
export class KVCache {
  #sequences: { total: number; tokens: Token[] }[];

  constructor(readonly options: KVCacheOptions) {
    this.#sequences = Array.from({ length: options.batch ?? 1 }, () => ({ total: 0, tokens: [] }));
  }

  /** Tokens in the cache, per sequence. */
  get lengths(): number[] {
    return this.#sequences.map(({ tokens }) => tokens.length);
  }

  /** Tokens that were appended, per sequence. */
  get positions(): number[] {
    return this.#sequences.map(({ total }) => total);
  }

  /**
   * Appends tokens to every sequence.
   *
   * @param key [batch, kvHeads, tokens, headDim] in the order of `layout`
   * @param value [batch, kvHeads, tokens, valueDim]; with `sharedValues` it is not read
   * @param options.lengths per sequence, how many of the tokens are real; default all
   */
  append(key: NdArray, value: NdArray, options: { layout?: Layout; lengths?: ArrayLike<number> } = {}): this {
    const { sinks = 0, window = Infinity, sharedValues = false, headDim, valueDim = headDim } = this.options;
    const [k, v] = [key, value].map((array) => headsOf(array, options.layout));
    const row = (array: NdArray, start: number, dim: number) =>
      Float64Array.from({ length: dim }, (_, d) => array.data[start + d]);
    this.#sequences.forEach((sequence, b) => {
      for (let i = 0; i < (options.lengths?.[b] ?? k.length); i++) {
        const heads = Array.from({ length: k.heads }, (_, h) => h);
        sequence.tokens.push({
          position: sequence.total++,
          key: heads.map((h) => this.#unturned(row(key, k.start(b, h, i), k.headDim))),
          value: heads.map((h) =>
            sharedValues
              ? this.#stored(row(key, k.start(b, h, i), k.headDim)).subarray(0, valueDim)
              : this.#stored(row(value, v.start(b, h, i), v.headDim)),
          ),
        });
        if (sequence.tokens.length > sinks + window) sequence.tokens.splice(sinks, 1);
      }
    });
    return this;
  }

  /** Drops the last tokens: each sequence has at most `length`, a number or one per sequence. */
  truncate(length: number | ArrayLike<number>): this {
    this.#sequences.forEach((sequence, b) => {
      const kept = Math.min(typeof length === 'number' ? length : length[b], sequence.tokens.length);
      sequence.total -= sequence.tokens.length - kept;
      sequence.tokens.length = kept;
    });
    return this;
  }

  /** Forgets everything; positions begin at 0 again. */
  reset(): this {
    for (const sequence of this.#sequences) Object.assign(sequence, { total: 0, tokens: [] });
    return this;
  }

  /** Sequence `target` becomes what `source` is. */
  fork(source: number, target: number): this {
    const { total, tokens } = this.#sequences[source];
    this.#sequences[target] = { total, tokens: [...tokens] };
    return this;
  }

  /** The kept tokens as stored: [batch, kvHeads, longest, headDim] and [batch, kvHeads, longest, valueDim], padded with 0. */
  keyValues(precision?: Precision): { key: Float64NdArray; value: Float64NdArray } {
    const { kvHeads, headDim, valueDim = headDim } = this.options;
    const shape = [this.#sequences.length, kvHeads, Math.max(...this.lengths)];
    const [key, value] = [zeros([...shape, headDim]), zeros([...shape, valueDim])];
    const [k, v] = [headsOf(key), headsOf(value)];
    this.#sequences.forEach(({ total, tokens }, b) => {
      const dropped = total - tokens.length;
      tokens.forEach((token, j) => {
        const moved = token.position === j ? dropped : 0;
        for (let h = 0; h < kvHeads; h++) {
          key.data.set(this.#turned(token.key[h], token.position + moved, precision), k.start(b, h, j));
          value.data.set(token.value[h], v.start(b, h, j));
        }
      });
    });
    return { key, value };
  }

  /** Attention of queries, the last of which are at the last tokens, as `attention`. */
  attend(query: NdArray, options: Omit<AttentionOptions, 'keyLengths' | 'layout'> = {}): AttentionResult {
    const { key, value } = this.keyValues(options.precision);
    return attention(query, key, value, { ...options, keyLengths: this.lengths });
  }

  #unturned(row: Float64Array): Float64Array {
    return this.options.rotary ? row : this.#stored(row);
  }

  #turned(row: Float64Array, position: number, precision?: Precision): Float64Array {
    const { rotary } = this.options;
    if (!rotary) return row;
    const input = { shape: [1, 1, 1, row.length], data: row };
    return this.#stored(rotaryEmbedding(input, { precision, role: 'key', ...rotary, offset: position }).data);
  }

  #stored(row: Float64Array): Float64Array {
    const { dtype } = this.options;
    if (dtype === 'int8') return roundToInt8(row);
    return dtype === 'float16' ? row.map(roundToHalf) : row;
  }
}
