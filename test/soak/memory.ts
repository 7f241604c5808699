import type { Runtime } from 'wasm-attention';

/** What a process holds, in KiB, after `calls`; `capacity` is what the largest call so far needed, up to the limit. */
export type Sample = {
  calls: number;
  used: number;
  capacity: number;
  heap: number;
  buffers: number;
  rss: number;
  milliseconds: number;
};

const kibibytes = (bytes: number) => Math.round(bytes / 1024);

export async function measure(runtimes: readonly Runtime[], calls: number): Promise<Sample> {
  if (!globalThis.gc) throw new Error('soak: node needs --expose-gc');
  // Buffers are given back a turn after they were collected.
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  const sum = (of: 'usedBytes' | 'capacityBytes') => runtimes.reduce((total, { memory }) => total + memory[of], 0);
  return {
    calls,
    used: kibibytes(sum('usedBytes')),
    capacity: kibibytes(sum('capacityBytes')),
    heap: kibibytes(heapUsed),
    buffers: kibibytes(arrayBuffers),
    rss: kibibytes(rss),
    milliseconds: performance.now(),
  };
}

/** Of a hundred thousand calls that leak 100 bytes each, half would be this much. */
const SLACK = 4096;

/** When everything has been called and compiled, nothing may grow. A sample holds what its last call did: the least of three counts. */
export function expectFlat(samples: readonly Sample[]): void {
  const least = (some: readonly Sample[], name: 'heap' | 'buffers') => Math.min(...some.map((sample) => sample[name]));
  const lost = samples[samples.length - 1].used - samples[0].used;
  if (lost !== 0) throw new Error(`soak: ${lost} KiB of linear memory are lost`);
  for (const name of ['heap', 'buffers'] as const) {
    const [before, after] = [samples.slice(2, 5), samples.slice(-3)].map((some) => least(some, name));
    if (after > before + SLACK) throw new Error(`soak: ${name} grew from ${before} to ${after} KiB`);
  }
}

/** Columns of text. */
export function table(rows: readonly Record<string, string | number>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, at) => Math.max(...lines.map((line) => line[at].length)));
  const isText = names.map((name) => typeof rows[0]?.[name] === 'string');
  const cell = (value: string, at: number) => (isText[at] ? value.padEnd(widths[at]) : value.padStart(widths[at]));
  return lines.map((line) => line.map(cell).join('  ').trimEnd()).join('\n');
}
