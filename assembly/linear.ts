import { Block, Linear } from './params';
import { dots } from './micro/dots';
import { pack, unpack } from './micro/lanes';
import { pointer, word } from './simd/lanes';

// x·Wᵀ + b: rows of x in the lanes, rows of W as the keys of the dot-product micro-kernel.
// Scratch: a tile of yᵀ [keys + 8][8], factors [8], xᵀ of 8 groups [inFeatures][8].

const TILE_BYTES: usize = (Block.keys + 8) << 5;

export function linearScratchBytes(params: usize): usize {
  return TILE_BYTES + 32 + (<usize>word(params, Linear.inFeatures) << 5) * (Block.queries / Block.lanes);
}

/** One task: `Block.queries` rows of x. */
export function linear(params: usize, task: i32, scratch: usize): void {
  const inFeatures = word(params, Linear.inFeatures), outFeatures = word(params, Linear.outFeatures);
  const first = task * Block.queries, count = min(word(params, Linear.rows) - first, Block.queries);
  const inBytes = <usize>inFeatures << 2, outBytes = <usize>outFeatures << 2;
  const input = pointer(params, Linear.input) + <usize>first * inBytes;
  const output = pointer(params, Linear.output) + <usize>first * outBytes;
  const weight = pointer(params, Linear.weight), bias = pointer(params, Linear.bias);
  const factors = scratch + TILE_BYTES, columns = factors + 32, columnBytes = inBytes << 3;
  v128.store(factors, f32x4.splat(1));
  v128.store(factors, f32x4.splat(1), 16);
  for (let i = 0; i < count; i += 8) {
    pack(columns + <usize>(i >> 3) * columnBytes, input + <usize>i * inBytes, count - i, inFeatures, inBytes, 1);
  }
  for (let j = 0; j < outFeatures; j += Block.keys) {
    const tile = min(outFeatures - j, Block.keys);
    for (let i = 0; i < count; i += 8) {
      dots(scratch, weight + <usize>j * inBytes, columns + <usize>(i >> 3) * columnBytes, tile, inFeatures, inBytes);
      if (bias != 0) addRows(scratch, bias + (<usize>j << 2), tile);
      unpack(output + <usize>i * outBytes + (<usize>j << 2), scratch, min(count - i, 8), tile, outBytes, factors);
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
