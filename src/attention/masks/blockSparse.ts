import { checkInteger, checkOptions, isList, wrongKind, wrongValue } from '../../check.ts';
import { unionOf } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';
import { blockwise } from './positions.ts';

/** [query blocks][key blocks], true or 1 = visible. */
export type BlockMatrix = readonly ArrayLike<boolean | number>[];

/** Blocks of `masks.blockSparse`. */
export type BlockSparseOptions = {
  /** Queries and keys of a block; default 64. */
  blockSize?: number;
  /** Which blocks of queries see which blocks of keys: for all heads alike, or a matrix per head. */
  blocks: BlockMatrix | readonly BlockMatrix[];
};

/** A matrix of blocks: query `i` sees key `j` iff `blocks[⌊i / blockSize⌋][⌊j / blockSize⌋]`. Batches are alike. */
export function blockSparse(options: BlockSparseOptions): AttentionMask {
  const where = 'blockSparse';
  checkOptions(where, options, new Set(['blockSize', 'blocks']));
  const { blockSize = 64, blocks } = options;
  checkInteger(where, 'blockSize', blockSize, 1);
  const matrices = matricesOf(where, blocks);
  const perHead = matrices.length !== 1;
  return new AttentionMask({
    varies: { head: perHead },
    content: 'costly',
    rows({ keys }, _batch, head) {
      const matrix = matrices[perHead ? head : 0];
      const keysOf = (row: number) => {
        const seen: [number, number][] = [];
        matrix[row].forEach((visible, block) => {
          if (visible) seen.push([block * blockSize, (block + 1) * blockSize]);
        });
        return unionOf(seen, keys);
      };
      return blockwise((i) => Math.floor(i / blockSize), keysOf);
    },
    check(called, { heads, queries, keys }) {
      const [rows, columns] = [Math.ceil(queries / blockSize), Math.ceil(keys / blockSize)];
      if (perHead && matrices.length !== heads)
        throw wrongValue(called, 'blocks', `must be one matrix for all heads or one per head (${heads})`);
      for (const matrix of matrices) {
        if (matrix.length !== rows || matrix.some((row) => row.length !== columns))
          throw wrongValue(called, 'blocks', `must be [${rows}][${columns}] of ${queries} queries and ${keys} keys`);
      }
    },
  });
}

/** Copies, so that a plan that was kept stays true. */
function matricesOf(where: string, blocks: unknown): boolean[][][] {
  const list = (value: unknown): unknown[] => {
    if (!isList(value)) throw wrongKind(where, 'blocks', 'a matrix of booleans', value);
    return Array.from(value);
  };
  const rows = list(blocks);
  const nested = rows.length > 0 && isList(rows[0]) && isList(rows[0][0]);
  return (nested ? rows : [rows]).map((matrix) => list(matrix).map((row) => list(row).map(Boolean)));
}
