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

export function measure(runtimes: readonly Runtime[], calls: number): Sample {
  if (!globalThis.gc) throw new Error('soak: node needs --expose-gc');
  globalThis.gc();
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

/** From the third sample on, when everything has been called and compiled, nothing may grow. */
export function expectFlat(samples: readonly Sample[]): void {
  const last = samples[samples.length - 1];
  const warm = samples[Math.min(3, samples.length - 1)];
  const grown = (name: 'heap' | 'buffers', slack: number) => {
    if (last[name] > warm[name] + slack) throw new Error(`soak: ${name} grew from ${warm[name]} to ${last[name]} KiB`);
  };
  if (last.used !== samples[0].used)
    throw new Error(`soak: ${last.used - samples[0].used} KiB of linear memory are lost`);
  grown('heap', SLACK);
  grown('buffers', SLACK);
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
