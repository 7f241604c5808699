import { defineConfig } from 'vitest/config';

// Not *.test.ts: the tests at the root need no browser. What waits for the page (`until`) gives up before a test does, and says for what.
export default defineConfig({
  test: {
    include: ['test/*.browser.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    reporters: ['verbose'],
  },
});
