import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import type { Result } from './suite.ts';

/** Somewhere JavaScript runs, with what must be there. */
export type Place = {
  name: string;
  build: 'simd' | 'relaxed';
  threads: number;
  /** The program that is not installed, if it is not. */
  readonly missing?: string;
  run(): Promise<Result>;
};

/** A machine that does much else besides is slow; what is well ends long before. */
export const TIMEOUT = 180_000;

export type Started = { child: ChildProcess; printed(): string; stop(): void };

/** What was started never came so far as to run the suite: the one thing that is tried again. */
export class NotStarted extends Error {}

/** Runs it, and once more where a browser or a server did not start. A result is a result, and a failure one. */
export async function startedTwice<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof NotStarted)) throw error;
    console.error(`once more: ${error.message.split('\n', 1)[0]}`);
    return run();
  }
}

/** Starts a process in a group of its own, so that its children end with it. */
export function start(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Started & { child: ChildProcessWithoutNullStreams } {
  const child = spawn(command, args, { detached: true, stdio: 'pipe', ...options });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (printed += text));
  const short = () =>
    printed
      .split('\n', 30)
      .map((line) => line.slice(0, 300))
      .join('\n');
  return { child, printed: short, stop: () => end(child) };
}

function end({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** What a program prints on its standard output. @throws Error with all that it printed, where it fails or takes too long */
export async function output(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeout?: number } = {},
): Promise<string> {
  const { child, printed, stop } = start(command, args, options);
  let out = '';
  child.stdout.on('data', (text) => (out += text));
  const code = await new Promise<number | string | null>((resolve) => {
    const timer = setTimeout(() => resolve('no end in time'), options.timeout ?? TIMEOUT);
    child.on('error', (error) => resolve(String(error)));
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve(status);
    });
  });
  stop();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${code}\n${printed()}`);
  return out;
}

/** The result that a program prints as its last line. */
export async function printedResult(
  command: string,
  args: string[],
  options?: { cwd?: string; env?: NodeJS.ProcessEnv },
): Promise<Result> {
  const lines = (await output(command, args, options)).trim().split('\n');
  return JSON.parse(lines.at(-1)!) as Result;
}

/** The result that a server answers with, which `open` starts on a port. */
export const servedResult = (path: string, open: (port: number) => Started): Promise<Result> =>
  startedTwice(async () => {
    const port = await freePort();
    const server = open(port);
    try {
      return await fetched(`http://localhost:${port}${path}`, server);
    } finally {
      server.stop();
    }
  });

/** Asks again and again until it answers. */
async function fetched(url: string, { child, printed }: Started): Promise<Result> {
  for (const began = Date.now(); Date.now() - began < TIMEOUT && child.exitCode === null; ) {
    const response = await fetch(url).catch(() => undefined);
    if (!response) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      continue;
    }
    const text = await response.text();
    if (!response.ok) throw new Error(`${url} gave status ${response.status}: ${text.slice(0, 2000)}\n${printed()}`);
    return JSON.parse(text) as Result;
  }
  throw new NotStarted(`${url} did not answer\n${printed()}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
