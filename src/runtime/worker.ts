import { Next } from '../../assembly/params.ts';
import { builtin } from './node.ts';

export type Thread = { ref(): void; unref(): void; terminate(): unknown };

/** What a worker gets: everything else is in the memory. `thread` 0 is the caller. */
export type Job = { module: WebAssembly.Module; memory: WebAssembly.Memory; thread: number };

/** What is used of a Web Worker. */
export type WebWorker = {
  /** Tells the worker what to do, once. */
  postMessage(message: unknown): void;
  /** Ends it. */
  terminate(): unknown;
  /** For `message`, `error` and `messageerror`. */
  // biome-ignore lint/suspicious/noExplicitAny: the event types of whatever library the reader compiles with
  addEventListener(type: string, listener: (event: any) => void): void;
};

type Events = { onReady(): void; onEnd(reason: string): void };

/**
 * After 'ready' a worker never returns to its event loop. It goes on with the modules that it finds in memory, which it copies out: no
 * engine compiles from shared memory.
 */
const start = `function start(job, post) {
    var kernels, at, length, module = job.module;
    try {
      for (;;) {
        kernels = new WebAssembly.Instance(module, { env: { memory: job.memory } }).exports;
        if (!at) post('ready');
        at = kernels.poolWorker(job.thread) >>> 0;
        if (at === ${Next.home}) return;
        length = new Int32Array(job.memory.buffer, at, 1)[0];
        module = new WebAssembly.Module(new Uint8Array(job.memory.buffer, at + 4, length).slice());
      }
    } catch (error) {
      if (kernels) kernels.abandon();
      post(String(error));
    }
  }`;

const nodeProgram = `var threads = require('worker_threads');
  ${start}
  start(threads.workerData, function (message) { threads.parentPort.postMessage(message); });
`;

/**
 * The whole program of a Web Worker, a classic script that also runs as a module: as a string it needs no file, whatever bundles
 * this package.
 */
export const webProgram = `(function () {
  ${start}
  self.onmessage = function (event) { start(event.data, function (message) { self.postMessage(message); }); };
})();
`;

type WorkerThreads = typeof import('node:worker_threads');

export function cores(): number {
  return (
    builtin<typeof import('node:os')>('node:os')?.availableParallelism() ??
    globalThis.navigator?.hardwareConcurrency ??
    1
  );
}

/** Why this place has no threads; undefined where it has. */
export function whyNoThreads(createWorker?: () => WebWorker): string | undefined {
  // Chromium and Firefox give shared memory without isolation, but refuse to post it; WebKit can be isolated without having it.
  if (globalThis.crossOriginIsolated === false)
    return 'the page is not cross-origin isolated, so it may not share memory (it needs the COOP and COEP headers)';
  if (typeof SharedArrayBuffer !== 'function') return 'SharedArrayBuffer is missing';
  if (createWorker || builtin<WorkerThreads>('node:worker_threads') || typeof Worker === 'function') return undefined;
  return 'there are no workers here (Web Workers, or Node 20.16 or later)';
}

/** Starts a worker on `job`. @throws what the platform throws where it refuses workers */
export function startThread(job: Job, events: Events, createWorker?: () => WebWorker): Thread {
  const threads = createWorker ? undefined : builtin<WorkerThreads>('node:worker_threads');
  return threads ? startNode(threads, job, events) : startWeb(job, events, createWorker);
}

function startNode({ Worker }: WorkerThreads, job: Job, { onReady, onEnd }: Events): Thread {
  const worker = new Worker(nodeProgram, { eval: true, workerData: job, execArgv: [] });
  worker.on('message', (message) => (message === 'ready' ? onReady() : onEnd(message)));
  worker.on('error', (error) => onEnd(String(error)));
  worker.on('exit', () => onEnd('a worker ended'));
  // Only now: a new listener for messages would keep the process alive again.
  worker.unref();
  return worker;
}

function startWeb(job: Job, { onReady, onEnd }: Events, createWorker: () => WebWorker = createBlobWorker): Thread {
  const worker = createWorker();
  worker.addEventListener('message', ({ data }: { data: string }) => (data === 'ready' ? onReady() : onEnd(data)));
  worker.addEventListener('error', (event: { message?: string; preventDefault?(): void }) => {
    event.preventDefault?.();
    onEnd(event.message || "the worker's script was refused (a content security policy?)");
  });
  worker.addEventListener('messageerror', () => onEnd('the module could not be sent to a worker'));
  worker.postMessage(job);
  return { ref() {}, unref() {}, terminate: () => worker.terminate() };
}

function createBlobWorker(): Worker {
  const url = URL.createObjectURL(new Blob([webProgram], { type: 'text/javascript' }));
  try {
    return new Worker(url);
  } finally {
    // The worker has resolved the address by now; some engines fetch it a moment later.
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
