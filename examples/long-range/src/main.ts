import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createRuntime } from 'wasm-attention';
import { experiment, full } from './experiment.ts';
import { answer, table } from './report.ts';
import { chart } from './svg.ts';

const begin = performance.now();
using runtime = await createRuntime();
const found = experiment(runtime, full);
console.log([...table(found), '', ...answer(found, 80), ''].join('\n'));
// npm runs scripts in the package's folder and keeps the user's in INIT_CWD.
writeFileSync(resolve(process.env.INIT_CWD ?? '.', 'long-range.svg'), await chart(found));
const seconds = (performance.now() - begin) / 1000;
console.log(`Drawn in long-range.svg. ${seconds.toFixed(0)} s (${runtime.build} build).`);
