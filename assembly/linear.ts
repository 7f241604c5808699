import { Block, Linear } from './params';
import { dots, dotsTall } from './micro/dots';
import { dotsOne } from './micro/few';
import { pack, unpack } from './micro/lanes';
import { pointer, word } from './simd/lanes';

// x·Wᵀ + b: rows of x in the lanes, rows of W as the keys of the dot-product micro-kernel.
// Scratch: factors [8], a tile of yᵀ [keys + 8][8], then for each of 8 groups pointers to its rows of x [8] and y [8], xᵀ [inFeatures][8].

const TILE: usize = 32, GROUPS: usize = TILE + ((Block.keys + 8) << 5);
const OUTPUTS: usize = 32, COLUMNS: usize = 64;

// @ts-ignore: top-level decorator
@inline
function groupBytes(params: usize): usize {
  return COLUMNS + (<usize>word(params, Linear.inFeatures) << 5);
}

export function linearScratchBytes(params: usize): usize {
  return GROUPS + <usize>(Block.queries / Block.lanes) * groupBytes(params);
}

/** One task: `Block.queries` rows of x, or, where there are at most `Block.fewRows`, `Block.features` columns of y. */
export function linear(params: usize, task: i32, scratch: usize): void {
  if (word(params, Linear.rows) <= Block.fewRows) return linearFew(params, task * Block.features, scratch + TILE);
  const inFeatures = word(params, Linear.inFeatures), outFeatures = word(params, Linear.outFeatures);
  const first = task * Block.queries, last = min(word(params, Linear.rows) - first, Block.queries) - 1;
  const inBytes = <usize>inFeatures << 2, outBytes = <usize>outFeatures << 2;
  const input = pointer(params, Linear.input) + <usize>first * inBytes;
  const output = pointer(params, Linear.output) + <usize>first * outBytes;
  const weight = pointer(params, Linear.weight), bias = pointer(params, Linear.bias), tall = word(params, Linear.tall) != 0;
  const size = groupBytes(params), groups = scratch + GROUPS, groupsEnd = groups + <usize>((last >> 3) + 1) * size;
  v128.store(scratch, f32x4.splat(1));
  v128.store(scratch, f32x4.splat(1), 16);
  for (let i = 0; i <= (last | 7); i++) {
    const at = groups + <usize>(i >> 3) * size + (<usize>(i & 7) << 2), row = <usize>min(i, last);
    store<usize>(at, input + row * inBytes);
    store<usize>(at, output + row * outBytes, OUTPUTS);
  }
  for (let group = groups; group < groupsEnd; group += size) pack(group + COLUMNS, group, inFeatures);
  for (let j = 0; j < outFeatures; j += Block.keys) {
    const tile = min(outFeatures - j, Block.keys);
    for (let group = groups; group < groupsEnd; group += size) {
      const rows = weight + <usize>j * inBytes;
      if (tall) dotsTall(scratch + TILE, rows, group + COLUMNS, tile, inFeatures, inBytes);
      else dots(scratch + TILE, rows, group + COLUMNS, tile, inFeatures, inBytes);
      if (bias != 0) addRows(scratch + TILE, bias + (<usize>j << 2), tile);
      unpack(group + OUTPUTS, <usize>j << 2, scratch + TILE, tile, scratch);
    }
  }
}

/** Few rows: W streams through once, a row of it after the other, and is read by each row of x (3 × as fast for one row, measured). */
function linearFew(params: usize, first: i32, tile: usize): void {
  const inFeatures = word(params, Linear.inFeatures), outFeatures = word(params, Linear.outFeatures);
  const inBytes = <usize>inFeatures << 2, outBytes = <usize>outFeatures << 2, end = min(first + Block.features, outFeatures);
  const weight = pointer(params, Linear.weight), bias = pointer(params, Linear.bias);
  for (let j = first; j < end; j += Block.keys) {
    const count = min(end - j, Block.keys), at = <usize>j << 2, bytes = <usize>count << 2;
    let input = pointer(params, Linear.input), output = pointer(params, Linear.output) + at;
    for (let row = word(params, Linear.rows); row > 0; row--, input += inBytes, output += outBytes) {
      dotsOne(tile, weight + <usize>j * inBytes, input, count, inFeatures, inBytes);
      for (let k: usize = 0; bias != 0 && k < bytes; k += 4) store<f32>(tile + k, load<f32>(tile + k) + load<f32>(bias + at + k));
      memory.copy(output, tile, bytes);
    }
  }
}

function addRows(tile: usize, bias: usize, count: i32): void {
  for (let j = 0; j < count; j++, tile += 32, bias += 4) {
    const x = v128.load32_splat(bias);
    v128.store(tile, f32x4.add(v128.load(tile), x));
    v128.store(tile, f32x4.add(v128.load(tile, 16), x), 16);
  }
}
