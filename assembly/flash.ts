import { Attention, Run, RunKind } from './params';
import { close, GROUPS, groupBytes, inBytes, isFiniteOutput, open } from './group';
import { pointer, word } from './simd/lanes';
import { locate, Task, visibleKeys } from './task';
import { attendBytes, attendFew, attendMany, attendOne, openTile } from './tile';

export { flashScratchBytes } from './group';

// Flash attention forward (Dao et al. 2022, Alg. 1; Dao 2023, Alg. 1): online softmax over tiles of keys, scores in log2 units.

/** One task: up to `Block.queries` rows that share a KV head. */
export function flash(params: usize, index: i32, scratch: usize): void {
  // A masked key's weight is 0, but 0 · NaN is not: only if the result is not finite is the task done again, minding every weight.
  if (!attend(params, index, scratch, false)) attend(params, index, scratch, true);
}

/** Returns whether no masked NaN can have reached the output. */
function attend(params: usize, index: i32, scratch: usize, minding: bool): bool {
  const size = groupBytes(params);
  locate(params, index, scratch, scratch + GROUPS, size);
  const rows = word(scratch, Task.rows), few = rows <= 8, bytes = inBytes(params, rows);
  const groups = scratch + GROUPS, groupsEnd = groups + <usize>((rows + 7) >> 3) * size;
  for (let group = groups; group < groupsEnd; group += size) open(params, scratch, group, few);

  const runsEnd = pointer(scratch, Task.runsEnd), tile = word(params, Attention.tileKeys);
  let masked = pointer(params, Attention.bias) != 0;
  for (let run = pointer(scratch, Task.run); run < runsEnd; run += Run.words << 2) {
    if (word(run, Run.kind) != RunKind.full) masked = true;
    const end = min(word(run, Run.end), word(scratch, Task.keyEnd));
    for (let start = max(word(run, Run.start), word(scratch, Task.keyStart)); start < end;) {
      const tileEnd = start + openTile(params, scratch, start, tile, end);
      for (let group = groups; group < groupsEnd; group += size) {
        const visible = visibleKeys(run, group);
        const first = max(start, <i32>visible), count = min(tileEnd, <i32>(visible >> 32)) - first;
        if (count <= 0) continue;
        if (rows == 1) attendOne(params, scratch, group, run, first, count, bytes, minding);
        else if (bytes) attendBytes(params, scratch, group, run, first, count);
        else if (few) attendFew(params, scratch, group, run, first, count, minding);
        else attendMany(params, scratch, group, run, first, count, minding);
      }
      start = tileEnd;
    }
  }
  // In integers a weight of 0 is 0 whatever the value: a second time would compute the same.
  const suspect = masked && !minding && !bytes;
  for (let group = groups; group < groupsEnd; group += size) {
    if (suspect && !isFiniteOutput(params, group, few)) return false;
    close(params, scratch, group, few ? rows : 8, few);
  }
  return true;
}
