import { type Kernel, Next } from '../../assembly/params.ts';
import type { AttentionKernels } from './load.ts';
import { cores, type Job, startThread, type Thread, type WebWorker, whyNoThreads } from './worker.ts';

/** More threads share one memory bus: 'auto' leaves a big machine's other cores to others. */
const MOST_AUTO_THREADS = 8;
/** Multiply-adds of a job below which it stays on the caller's thread: 0.1 ms or so, where a second one begins to gain (measured). */
const LEAST_SHARED_WORK = 1 << 21;
/** Waits of 0.1 s for a worker that computes, plus 10 × the time that the caller has computed: then it is taken for dead. */
const PATIENCE = 100;
/** Milliseconds after which a worker that has not reported is given up. */
const START_TIMEOUT = 15_000;

/** How many threads to start; `reason` says why there is only one. */
export function chooseThreads(
  threads: number | 'auto',
  createWorker?: () => WebWorker,
  noThreads?: string,
): { threads: number; reason?: string } {
  if (threads === 1) return { threads, reason: '1 thread was asked for' };
  const reason = noThreads ?? whyNoThreads(createWorker);
  if (reason) return { threads: 1, reason };
  const chosen = threads === 'auto' ? Math.min(cores(), MOST_AUTO_THREADS) : threads;
  return { threads: chosen, reason: chosen === 1 ? 'this machine has 1 core' : undefined };
}

/** The caller's thread and the workers of one runtime. */
export class Pool {
  /** Why there are fewer threads than asked for. */
  reason: string | undefined;
  patience = PATIENCE;
  /** One entry a worker, undefined once it ended: its scratch stays its own. */
  readonly workers: (Thread | undefined)[] = [];
  readonly #started: Promise<unknown>;
  /** What gives up a worker that is not ready. */
  readonly #starting = new Set<(reason: string) => void>();
  readonly #maySleep = maySleep();

  constructor(
    public kernels: AttentionKernels,
    job: Omit<Job, 'thread'>,
    { threads, reason }: { threads: number; reason?: string },
    createWorker?: () => WebWorker,
  ) {
    this.reason = reason;
    const starts = Array.from({ length: threads - 1 }, (_, i) => this.#start({ ...job, thread: i + 1 }, createWorker));
    this.#started = Promise.all(starts);
    if (this.#starting.size === 0) return;
    // Nobody may wait for them: the timer keeps no process alive.
    const timer = setTimeout(() => this.#giveUp(LATE), START_TIMEOUT);
    (timer as { unref?(): void }).unref?.();
    void this.#started.then(() => clearTimeout(timer));
  }

  /** Threads that compute: the caller's, and workers that are ready or about to be. */
  get threads(): number {
    return 1 + this.#alive().length;
  }

  /** Threads that a job of so many tasks and multiply-adds gets scratch for. */
  threadsFor(tasks: number, work: number): number {
    return tasks > 1 && work >= LEAST_SHARED_WORK && this.threads > 1 ? 1 + this.workers.length : 1;
  }

  /** Resolves when all workers wait for work or have failed; a process may not end before. */
  async started(milliseconds = START_TIMEOUT): Promise<void> {
    for (const worker of this.#alive()) worker.ref();
    const timer = setTimeout(() => this.#giveUp(LATE), milliseconds);
    await this.#started;
    clearTimeout(timer);
    for (const worker of this.#alive()) worker.unref();
  }

  /** Runs a job on `threads` threads (`threadsFor`), each with `scratchBytes` of scratch. */
  run(kernel: Kernel, params: number, tasks: number, scratch: number, scratchBytes: number, threads: number): void {
    const { kernels } = this;
    const alone = () => kernels.run(kernel, params, tasks, scratch, scratchBytes, 0, false);
    if (threads === 1) {
      alone();
      return;
    }
    const began = performance.now();
    let left: number;
    try {
      left = kernels.run(kernel, params, tasks, scratch, scratchBytes, Math.min(tasks, threads) - 1, this.#maySleep);
    } catch (error) {
      // The workers still use this job's memory.
      kernels.abandon();
      this.#wait(began, 1);
      throw error;
    }
    if (left !== 0 && !this.#wait(began, left)) alone();
  }

  /** Goes on with other kernels, whose jobs lie elsewhere; workers follow to the module at `address`: its length and its bytes. */
  goOn(kernels: AttentionKernels, address: number): void {
    this.kernels.goOn(address);
    this.kernels = kernels;
  }

  /** Ends the workers. */
  close(reason: string): void {
    this.reason = reason;
    if (this.workers.length > 0) this.kernels.goOn(Next.home);
    for (const worker of this.#alive()) worker.terminate();
    this.workers.fill(undefined);
    this.#giveUp(reason);
  }

  /** Waits for the workers' last tasks: false where one of them was not computed. */
  #wait(began: number, unfinished: number): boolean {
    let left = unfinished;
    for (let patience = this.patience + (performance.now() - began) / 10; left > 0; patience--) {
      if (patience < 0) {
        this.close('a worker died during a call');
        return false;
      }
      left = this.kernels.finish(this.#maySleep);
    }
    return left === 0;
  }

  #alive(): Thread[] {
    return this.workers.filter((worker) => worker !== undefined);
  }

  #giveUp(reason: string): void {
    for (const giveUp of [...this.#starting]) giveUp(reason);
  }

  /** Resolves when the worker is ready, has failed or is given up. */
  #start(job: Job, createWorker?: () => WebWorker): Promise<void> {
    const at = job.thread - 1;
    return new Promise((resolve) => {
      const onReady = () => {
        this.#starting.delete(giveUp);
        resolve();
      };
      const onEnd = (reason: string) => {
        if (this.workers[at]) this.reason ??= reason;
        this.workers[at] = undefined;
        onReady();
      };
      const giveUp = (reason: string) => {
        this.workers[at]?.terminate();
        onEnd(reason);
      };
      this.workers[at] = undefined;
      this.#starting.add(giveUp);
      try {
        this.workers[at] = startThread(job, { onReady, onEnd }, createWorker);
      } catch (error) {
        this.reason ??= `workers are refused here: ${error}`;
        onReady();
      }
    });
  }
}

const LATE = 'a worker did not start in time';

/** A page's main thread may not sleep: it spins. */
function maySleep(): boolean {
  if (typeof SharedArrayBuffer !== 'function') return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1);
    return true;
  } catch {
    return false;
  }
}
