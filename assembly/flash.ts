import { Attention, TaskPart, Run, RunKind } from './params';
import { close, flashScratchBytes, GROUPS, groupBytes, inBytes, isFiniteOutput, open } from './group';
import { pointer, word } from './simd/lanes';
import { locate, Task, visibleKeys } from './task';
import { attendBytes, attendFew, attendMany, attendOne, openTile } from './tile';

export { flashScratchBytes } from './group';

// Flash attention forward (Dao et al. 2022, Alg. 1; Dao 2023, Alg. 1): online softmax over tiles of keys, scores in log2 units.

/** One task: up to `Block.queries` rows that share a KV head; or a part of it. */
export function flash(params: usize, index: i32, scratch: usize): void {
  if (pointer(params, Attention.parts) != 0) return attendPart(params, index);
  // A masked key's weight is 0, but 0 · NaN is not: only if the result is not finite is the task done again, minding every weight.
  for (let minding = 0; minding < 2; minding++) {
    begin(params, index, scratch, minding);
    attend(params, scratch, i32.MAX_VALUE);
    if (end(params, scratch)) return;
  }
}

/** As many tiles of a task as one turn takes. */
function attendPart(params: usize, index: i32): void {
  const bytes = <usize>word(params, Attention.partBytes), turn = word(params, Attention.turn);
  const both = pointer(params, Attention.parts) + <usize>index * 2 * bytes;
  const part = both + <usize>(turn & 1) * bytes, before = both + <usize>(~turn & 1) * bytes, scratch = part + TaskPart.bytes;
  if (turn == 0) {
    store<i32>(part, 0, TaskPart.keys << 2);
    store<i32>(part, 0, TaskPart.finished << 2);
    begin(params, index, scratch, 0);
  } else memory.copy(part, before, <usize>TaskPart.bytes + flashScratchBytes(params));
  if (word(part, TaskPart.finished) != 0) return;
  const most = word(params, Attention.partKeys), keys = attend(params, scratch, most);
  store<i32>(part, word(part, TaskPart.keys) + keys, TaskPart.keys << 2);
  if (pointer(scratch, Task.run) < pointer(scratch, Task.runsEnd)) return;
  if (end(params, scratch)) return store<i32>(part, 1, TaskPart.finished << 2);
  store<i32>(part, 0, TaskPart.keys << 2);
  begin(params, index, scratch, 1);
}

function begin(params: usize, index: i32, scratch: usize, minding: i32): void {
  const size = groupBytes(params);
  locate(params, index, scratch, scratch + GROUPS, size);
  store<i32>(scratch, minding, Task.minding << 2);
  store<i32>(scratch, <i32>(pointer(params, Attention.bias) != 0), Task.masked << 2);
  const rows = word(scratch, Task.rows), groups = scratch + GROUPS, groupsEnd = groups + <usize>((rows + 7) >> 3) * size;
  for (let group = groups; group < groupsEnd; group += size) open(params, scratch, group, rows <= 8);
}

/** Goes on for `most` keys and what is left of their last tile. Returns how many it were; the task's run and `keyStart` are where to go on. */
function attend(params: usize, scratch: usize, most: i32): i32 {
  const size = groupBytes(params), rows = word(scratch, Task.rows), few = rows <= 8, bytes = inBytes(params, rows);
  const groups = scratch + GROUPS, groupsEnd = groups + <usize>((rows + 7) >> 3) * size;
  const runsEnd = pointer(scratch, Task.runsEnd), tile = word(params, Attention.tileKeys), minding = word(scratch, Task.minding) != 0;
  let run = pointer(scratch, Task.run), done = 0;
  for (; run < runsEnd; run += Run.words << 2) {
    if (word(run, Run.kind) != RunKind.full) store<i32>(scratch, 1, Task.masked << 2);
    const end = min(word(run, Run.end), word(scratch, Task.keyEnd));
    let start = max(word(run, Run.start), word(scratch, Task.keyStart));
    while (start < end && done < most) {
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
      done += tileEnd - start;
      start = tileEnd;
    }
    if (start >= end) continue;
    store<i32>(scratch, start, Task.keyStart << 2);
    break;
  }
  store<usize>(scratch, run, Task.run << 2);
  return done;
}

/** Writes the rows, unless a masked NaN may have reached them: returns whether it did. */
function end(params: usize, scratch: usize): bool {
  const size = groupBytes(params), rows = word(scratch, Task.rows), few = rows <= 8;
  const groups = scratch + GROUPS, groupsEnd = groups + <usize>((rows + 7) >> 3) * size;
  // In integers a weight of 0 is 0 whatever the value: a second time would compute the same.
  const suspect = word(scratch, Task.masked) != 0 && word(scratch, Task.minding) == 0 && !inBytes(params, rows);
  for (let group = groups; group < groupsEnd; group += size) {
    if (suspect && !isFiniteOutput(params, group, few)) return false;
    close(params, scratch, group, few ? rows : 8, few);
  }
  return true;
}
