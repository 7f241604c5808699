import { createRuntime, type Runtime } from 'wasm-attention';
import * as bert from './bert.ts';

const examples: Record<string, (runtime: Runtime) => string[]> = {
  bert: (runtime) => bert.report(bert.bert(runtime)),
};

const [name] = process.argv.slice(2);
if (!Object.hasOwn(examples, name)) {
  console.error(`There is no example "${name}". There are ${Object.keys(examples).join(', ')}.`);
  process.exit(2);
}
using runtime = await createRuntime({ threads: 'auto' });
const lines = examples[name](runtime);
console.log([...lines, `(${runtime.build} build, ${runtime.threads} threads)`].join('\n'));
