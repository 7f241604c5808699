import { mkdirSync } from 'node:fs';
import { output, type Place, servedResult, start, TIMEOUT } from '../place.ts';
import { folderOf, inProject, installed, root } from '../project.ts';
import { node } from './node.ts';

const route = (runtime: string) => `import { suite } from '../../suite.js';
export const runtime = '${runtime}';
export const dynamic = 'force-dynamic';
export const GET = async () => Response.json(await suite());
`;

const files = {
  'app/layout.js': 'export default ({ children }) => <html><body>{children}</body></html>;\n',
  'app/nodejs/route.js': route('nodejs'),
  'app/edge/route.js': route('edge'),
  // Next itself is installed above the project.
  'next.config.mjs': `export default { turbopack: { root: ${JSON.stringify(root)} } };\n`,
  'package.json': '{}',
  // Without one it takes the paths of a tsconfig.json above.
  'jsconfig.json': '{}',
};

const next = installed('next/dist/bin/next');
const built = new Map<string, Promise<string>>();

async function buildOnce(bundler: string): Promise<string> {
  const folder = inProject(`next-${bundler}`);
  for (const name of ['app/nodejs', 'app/edge']) mkdirSync(`${folder}/${name}`, { recursive: true });
  folderOf(`next-${bundler}`, files);
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
  await output(node(24), [next, 'build', `--${bundler}`], { cwd: folder, env, timeout: 2 * TIMEOUT });
  return folder;
}

const place = (bundler: 'turbopack' | 'webpack', runtime: 'nodejs' | 'edge'): Place => ({
  name: `Next (${bundler}), ${runtime} route`,
  build: runtime === 'edge' ? 'simd' : 'relaxed',
  threads: runtime === 'edge' ? 1 : 2,
  run: async () => {
    const building = built.get(bundler) ?? buildOnce(bundler);
    built.set(bundler, building);
    const cwd = await building;
    return servedResult(`/${runtime}`, (port) => start(node(24), [next, 'start', '--port', `${port}`], { cwd }));
  },
});

export const inNext: Place[] = (['turbopack', 'webpack'] as const).flatMap((bundler) =>
  (['nodejs', 'edge'] as const).map((runtime) => place(bundler, runtime)),
);
