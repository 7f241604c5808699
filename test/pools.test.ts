import { expect, it } from 'vitest';
import { churn } from './soak/pools.ts';

it('pools that are made and disposed leave no thread, no file and no memory behind', async () => {
  const samples = await churn(100);
  expect(samples.at(-1)!.pools).toBe(100);
});
