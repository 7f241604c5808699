import { append, appendScratchBytes } from './append';
import { causalConv, causalConvScratchBytes } from './causalConv';
import { Job, Kernel, Next } from './params';
import { flash, flashScratchBytes } from './flash';
import { linear, linearScratchBytes } from './linear';
import { attentionOnly } from './only';
import { recurrence, recurrenceScratchBytes } from './recurrence';
import { scores, scoresScratchBytes } from './scores';

// Runs the tasks of a job on the caller and on the workers that wait for one. All threads take tasks off one atomic counter.

// The job lies below the allocator's first byte and in no data segment: active segments run again whenever a worker
// instantiates the module on the same memory. So static data must be constants, written over themselves.
// @ts-ignore: top-level decorator
@inline
function job(field: i32): usize {
  return ((__heap_base + 63) & ~63) + (<usize>field << 2);
}

/** The first byte that the allocator may use. */
export const heapBase: usize = job(Job.words);

const SPINS = 1 << 10;
/** Where the caller may not sleep: about as long as `SLEEP`. */
const LONG_SPINS = 1 << 27;
const SLEEP: i64 = 100_000_000;

/** Bytes of scratch that one thread needs for a kernel's tasks. */
export function scratchBytes(kernel: i32, params: usize): usize {
  if (attentionOnly()) return flashScratchBytes(params);
  else switch (kernel) {
    case Kernel.flash: return flashScratchBytes(params);
    case Kernel.scores: return scoresScratchBytes(params);
    case Kernel.linear: return linearScratchBytes(params);
    case Kernel.append: return appendScratchBytes(params);
    case Kernel.recurrence: return recurrenceScratchBytes(params);
    case Kernel.causalConv: return causalConvScratchBytes(params);
    default: return unreachable();
  }
}

function compute(kernel: i32, params: usize, task: i32, scratch: usize): void {
  if (attentionOnly()) {
    if (kernel != Kernel.flash) unreachable();
    flash(params, task, scratch);
  } else switch (kernel) {
    case Kernel.flash: return flash(params, task, scratch);
    case Kernel.scores: return scores(params, task, scratch);
    case Kernel.linear: return linear(params, task, scratch);
    case Kernel.append: return append(params, task, scratch);
    case Kernel.recurrence: return recurrence(params, task, scratch);
    case Kernel.causalConv: return causalConv(params, task, scratch);
    default: return unreachable();
  }
}

/**
 * Computes all tasks: one thread from the first on, so that rows come as one stream from memory (3 % of a call with 77 keys, measured);
 * several from the last on: under a causal mask those are the long ones, and short ones fill the end.
 * With `helpers` workers, `scratch` is for all threads of the pool, `threadBytes` each. Returns as `finish`.
 */
export function run(kernel: i32, params: usize, tasks: i32, scratch: usize, threadBytes: usize, helpers: i32, maySleep: bool): i32 {
  if (helpers == 0) {
    for (let task = 0; task < tasks; task++) compute(kernel, params, task, scratch);
    return 0;
  }
  store<i32>(job(Job.kernel), kernel);
  store<usize>(job(Job.params), params);
  store<usize>(job(Job.scratch), scratch);
  store<usize>(job(Job.scratchBytes), threadBytes);
  atomic.store<i32>(job(Job.failed), 0);
  atomic.store<i32>(job(Job.unfinished), tasks);
  // From here on any thread may take a task, a worker that is late from the job before too: what it took is of this job.
  atomic.store<i32>(job(Job.remaining), tasks);
  atomic.add<i32>(job(Job.generation), 1);
  atomic.notify(job(Job.generation), helpers);
  work(0);
  return finish(maySleep);
}

function work(thread: i32): void {
  for (;;) {
    const task = atomic.sub<i32>(job(Job.remaining), 1) - 1;
    if (task < 0) return;
    const scratch = load<usize>(job(Job.scratch)) + <usize>thread * load<usize>(job(Job.scratchBytes));
    compute(load<i32>(job(Job.kernel)), load<usize>(job(Job.params)), task, scratch);
    leave(1);
  }
}

function leave(tasks: i32): void {
  if (atomic.sub<i32>(job(Job.unfinished), tasks) == tasks) atomic.notify(job(Job.unfinished), 1);
}

/** Waits up to 0.1 s for tasks that workers compute. Returns how many are unfinished; −1 where all have ended but one failed. */
export function finish(maySleep: bool): i32 {
  const spins = maySleep ? SPINS : LONG_SPINS;
  let left = 0;
  for (let i = 0; i < spins; i++) {
    left = atomic.load<i32>(job(Job.unfinished));
    if (left == 0) return -atomic.load<i32>(job(Job.failed));
  }
  if (maySleep) atomic.wait<i32>(job(Job.unfinished), left, SLEEP);
  left = atomic.load<i32>(job(Job.unfinished));
  return left == 0 ? -atomic.load<i32>(job(Job.failed)) : left;
}

/** After a trap in a task: gives up this task and those that nobody took. */
export function abandon(): void {
  atomic.store<i32>(job(Job.failed), 1);
  leave(max(atomic.xchg<i32>(job(Job.remaining), 0), 0) + 1);
}

/** The life of a worker: it ends with its thread, by a trap, or where it is told to go on. */
export function poolWorker(thread: i32): usize {
  // In this order: whoever sees the last generation also sees where to go.
  let generation = atomic.load<i32>(job(Job.generation)), next = atomic.load<usize>(job(Job.next));
  while (next == Next.here) {
    work(thread);
    atomic.wait<i32>(job(Job.generation), generation);
    generation = atomic.load<i32>(job(Job.generation));
    next = atomic.load<usize>(job(Job.next));
  }
  return next;
}

/** There are no more jobs here: workers go on with the module at `next`, whose jobs lie elsewhere, or home. */
export function goOn(next: usize): void {
  atomic.store<usize>(job(Job.next), next);
  atomic.add<i32>(job(Job.generation), 1);
  atomic.notify(job(Job.generation), -1);
}
