import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { describe, expect, it } from 'vitest';

/** What a program over src/ prints, in a process of its own; `define` replaces expressions in src/. */
function output(program: string, define: Record<string, string> = {}): string {
  const { outputFiles } = buildSync({
    stdin: {
      contents: `import { createRuntimeSync, MultiHeadAttention } from './src/platforms/inline.ts';\n${program}`,
      resolveDir: fileURLToPath(new URL('..', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    define,
  });
  const flags = ['--expose-gc', '--input-type=module', '-'];
  return execFileSync(process.execPath, flags, { input: outputFiles[0].text, encoding: 'utf8' });
}

describe('in a process of its own', () => {
  const collect = `
    console.warn = (line) => console.log(line);
    const collect = async () => { for (let i = 0; i < 10; i++) { await new Promise(setImmediate); gc(); } };`;

  it('reports a tensor that was collected and never disposed, each place once', () => {
    const lines = output(
      `${collect}
      const runtime = createRuntimeSync({ debug: true });
      function leaky() { runtime.zeros([3, 5]); }
      for (let i = 0; i < 3; i++) leaky();
      await collect();
      console.log('used', runtime.memory.usedBytes > 0);`,
    );
    expect(lines.match(/never disposed/g)).toHaveLength(1);
    expect(lines).toMatch(/float32 \[3,5\] made\n[\s\S]*at leaky /);
    expect(lines).toContain('used true');
  });

  it('does not report disposed, scoped and live tensors, views, those of a runtime that is gone, or without debug', () => {
    const lines = output(
      `${collect}
      let runtime = createRuntimeSync({ debug: true });
      runtime.zeros([1]).dispose();
      runtime.scope(() => { runtime.zeros([2]).view([1, 2]).slice(0, 1); });
      const live = runtime.zeros([3]);
      (() => { live.view([3, 1]); })();
      let other = createRuntimeSync({ debug: true });
      other.zeros([4]);
      other = undefined;
      let third = createRuntimeSync({ debug: true });
      third.zeros([5]);
      third.dispose();
      createRuntimeSync().zeros([6]);
      await collect();
      console.log('end', live.size);`,
    );
    expect(lines).toBe('end 3\n');
  });

  it('has a dispose method where Symbol.dispose is missing', () => {
    const lines = output(
      `const symbol = Symbol.for('Symbol.dispose');
      const runtime = createRuntimeSync();
      const tensor = runtime.zeros([1]);
      const layer = new MultiHeadAttention(runtime, { embedDim: 1, heads: 1 });
      layer[symbol]();
      tensor[symbol]();
      runtime[symbol]();
      console.log(tensor.disposed, runtime.disposed, 'undefined' in tensor, 'undefined' in runtime);`,
      { 'Symbol.dispose': 'undefined' },
    );
    expect(lines).toBe('true true false false\n');
  });

  it('does without FinalizationRegistry', () => {
    const lines = output(`delete globalThis.FinalizationRegistry;
      const runtime = createRuntimeSync({ debug: true });
      runtime.zeros([1]).dispose();
      console.log(runtime.memory.usedBytes);`);
    expect(lines).toBe('0\n');
  });
});
