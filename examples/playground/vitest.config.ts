import { defineConfig } from 'vitest/config';

// Not *.test.ts: the tests at the root need no browser.
export default defineConfig({
  test: { include: ['test/*.browser.ts'], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false },
});
