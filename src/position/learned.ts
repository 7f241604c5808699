import { overlap } from '../attention/options.ts';
import { checkInteger, checkOptions, checkSameShape, checkTensor, text, wrongKind, wrongValue } from '../check.ts';
import { Tensor } from '../tensor.ts';

/** Which rows of the table are added, and where to. */
export type LearnedPositionOptions = {
  /** Row of the first vector; default 0. */
  offset?: number;
  /** Rows [sequence] or, one batch after the other, [batch · sequence]; in place of `offset + i`. */
  positions?: ArrayLike<number>;
  /** The tensor to write; default the input itself. */
  output?: Tensor;
};

const learnedOptions = new Set(['offset', 'positions', 'output']);

/**
 * Adds the rows of a learned table of positions (GPT-2's `wpe.weight`, BERT's `position_embeddings.weight`), in place or into
 * `output`: `y[b, i] = x[b, i] + table[position(b, i)]`.
 *
 * @param input float32 [batch, sequence, dim]
 * @param table float32 [rows, dim]
 * @returns the tensor that was written
 * @throws as `scaledDotProductAttention`; RangeError for a position that is no row of the table
 */
export function addPositions(input: Tensor, table: Tensor, options: LearnedPositionOptions = {}): Tensor {
  const where = 'addPositions';
  if (!(input instanceof Tensor)) throw wrongKind(where, 'input', 'a Tensor', input);
  checkOptions(where, options, learnedOptions);
  const { runtime } = input;
  checkTensor(where, 'input', input, runtime, { rank: 3 });
  checkTensor(where, 'table', table, runtime, { rank: 2 });
  const [batch, length, dim] = input.shape;
  const [rows] = table.shape;
  checkSameShape(where, 'table', table.shape, [rows, dim]);
  const { offset = 0, positions, output = input } = options;
  checkInteger(where, 'offset', offset);
  checkTensor(where, 'output', output, runtime);
  checkSameShape(where, 'output', output.shape, input.shape);
  if (overlap(output, table) || (output.address !== input.address && overlap(output, input)))
    throw wrongValue(where, 'output', 'overlaps an input without being "input" itself');
  if (positions && positions.length !== length && positions.length !== batch * length)
    throw wrongValue(
      where,
      'positions',
      `has ${positions.length} entries, but ${length} or ${batch * length} are needed`,
    );
  const rowOf = Int32Array.from({ length: batch * length }, (_, at) => {
    const index = positions?.length === batch * length ? at : at % length;
    const row = positions ? positions[index] : offset + index;
    if (!Number.isInteger(row) || row < 0 || row >= rows)
      throw wrongValue(
        where,
        positions ? `positions[${index}]` : 'offset',
        `gives ${text(row)}, not a row of the table (${rows})`,
      );
    return row;
  });
  const [x, added, y] = [input.data, table.data, output.data];
  for (let at = 0; at < rowOf.length; at++) {
    for (let d = 0; d < dim; d++) y[at * dim + d] = x[at * dim + d] + added[rowOf[at] * dim + d];
  }
  return output;
}
