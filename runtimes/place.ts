import { type ChildProcess, spawn } from 'node:child_process';
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

const TIMEOUT = 90_000;

/** Starts a process in a group of its own, so that its children end with it. */
export function start(command: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
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

/** Asks again and again until it answers with a result. */
export async function fetched(url: string, process: { printed(): string }, timeout = TIMEOUT): Promise<Result> {
  for (const began = Date.now(); Date.now() - began < timeout; ) {
    try {
      const response = await fetch(url);
      const text = await response.text();
      if (!response.ok)
        throw new Error(`${url} gave status ${response.status}: ${text.slice(0, 2000)}\n${process.printed()}`);
      return JSON.parse(text) as Result;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(`${url} did not answer\n${process.printed()}`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
