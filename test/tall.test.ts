import { expect, it, vi } from 'vitest';
import { tallMicroKernels } from '../src/runtime/features.ts';

// The micro-kernels that this engine would not choose, under the suites that look at sizes and bounds.
vi.mock('../src/runtime/features.ts', () => ({ tallMicroKernels: !('Float16Array' in globalThis) }));

it('runs the other micro-kernels', () => expect(tallMicroKernels).toBe(!('Float16Array' in globalThis)));

await import('./guards.test.ts');
await import('./layers.test.ts');
await import('./random.test.ts');
