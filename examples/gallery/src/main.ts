import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createRuntime, type Runtime } from 'wasm-attention';
import * as alphafold from './alphafold.ts';
import * as bert from './bert.ts';
import * as decode from './decode.ts';
import * as diffusion from './diffusion.ts';
import * as longDocument from './longDocument.ts';
import * as packed from './packed.ts';
import * as vit from './vit.ts';

const examples: Record<string, (runtime: Runtime) => string[]> = {
  bert: (runtime) => bert.report(bert.bert(runtime)),
  vit(runtime) {
    const result = vit.vit(runtime);
    return [...vit.report(result), picture('vit.svg', vit.vitSvg(result))];
  },
  alphafold: (runtime) => alphafold.report(alphafold.alphafold(runtime)),
  diffusion: (runtime) => diffusion.report(diffusion.diffusion(runtime)),
  decode: (runtime) => decode.report(decode.decode(runtime)),
  packed: (runtime) => packed.report(packed.packed(runtime)),
  longformer: (runtime) => longDocument.report(longDocument.longDocument(runtime, 'longformer')),
  bigbird: (runtime) => longDocument.report(longDocument.longDocument(runtime, 'bigbird')),
};

/** Writes a picture where the command was given: npm runs scripts in the package's folder and keeps the user's in INIT_CWD. */
function picture(file: string, svg: string): string {
  writeFileSync(resolve(process.env.INIT_CWD ?? '.', file), svg);
  return `Drawn in ${file}.`;
}

const [name] = process.argv.slice(2);
if (!Object.hasOwn(examples, name)) {
  console.error(
    `${name ? `There is no example "${name}"` : 'Name an example'}. There are ${Object.keys(examples).join(', ')}.`,
  );
  process.exit(2);
}
using runtime = await createRuntime({ threads: 'auto' });
const lines = examples[name](runtime);
console.log([...lines, `(${runtime.build} build, ${runtime.threads} threads)`].join('\n'));
