import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Build } from 'wasm-attention';

type Exports = {
  fused(factor: number, term: number, iterations: number): number;
  chained(factor: number, term: number, iterations: number): number;
  accumulated(factor: number, address: number, iterations: number): number;
  read(address: number, bytes: number): number;
};

/** FLOP/s and bytes/s that this machine gave at one moment. `fused` only in the relaxed build. */
export type Peak = { fused?: number; mulAdd: number; read?: number };

const folder = fileURLToPath(new URL('.', import.meta.url));
const ADDRESS = 65536;
const READ_BYTES = 2 ** 28;
const ITERATIONS = 20_000;
const WARM_UP_CALLS = 300;
const CALLS = 8;

function compile(): void {
  const source = statSync(`${folder}assembly.ts`).mtimeMs;
  for (const target of ['simd', 'relaxed']) {
    const file = `${folder}build/${target}.wasm`;
    if (existsSync(file) && statSync(file).mtimeMs > source) continue;
    execFileSync('npx', ['--no-install', 'asc', '--config', 'asconfig.json', '--target', target], {
      cwd: folder,
      stdio: 'inherit',
    });
  }
}

/** Probes of the machine's peak, warm. A probe takes the best of a few short calls: a peak is what can be had. */
export function peakProbe(build: Build): (withRead: boolean) => Peak {
  compile();
  const module = new WebAssembly.Module(readFileSync(`${folder}build/${build}.wasm`));
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536 });
  const probe = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const loops = {
    fused: { run: () => probe.fused(0.999, 0.001, ITERATIONS), flops: 80 * ITERATIONS },
    chained: { run: () => probe.chained(0.999, 0.001, ITERATIONS), flops: 96 * ITERATIONS },
    accumulated: { run: () => probe.accumulated(0.999, ADDRESS, ITERATIONS), flops: 64 * ITERATIONS },
  };
  const best = (run: () => void, work: number, calls = CALLS) => {
    let rate = 0;
    for (let call = 0; call < calls; call++) {
      const start = performance.now();
      run();
      rate = Math.max(rate, (work * 1000) / (performance.now() - start));
    }
    return rate;
  };
  const flopRate = ({ run, flops }: { run: () => void; flops: number }) => best(run, flops);
  for (const { run } of Object.values(loops)) for (let call = 0; call < WARM_UP_CALLS; call++) run();

  return (withRead) => {
    if (withRead && memory.buffer.byteLength < READ_BYTES) {
      memory.grow(READ_BYTES / 65536);
      // Pages that nobody wrote are all one page of zeros.
      new Uint8Array(memory.buffer).fill(1);
      for (let call = 0; call < WARM_UP_CALLS; call++) probe.read(ADDRESS, 65536);
    }
    return {
      fused: build === 'relaxed' ? flopRate(loops.fused) : undefined,
      mulAdd: Math.max(flopRate(loops.chained), flopRate(loops.accumulated)),
      read: withRead ? best(() => probe.read(ADDRESS, READ_BYTES), READ_BYTES, 2) : undefined,
    };
  };
}
