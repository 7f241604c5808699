import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));

// Node 20 has relaxed SIMD behind a flag; both builds are tested everywhere.
const flags = Number(process.versions.node.split('.')[0]) < 22 ? ['--experimental-wasm-relaxed-simd'] : [];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^wasm-attention$/, replacement: path('src/platforms/inline.ts') },
      { find: /^wasm-attention\/(onnx|reference)$/, replacement: path('src/$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts', 'bench/test/**/*.test.ts', 'examples/*/test/**/*.test.ts'],
    pool: 'forks',
    execArgv: flags,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
