import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { type Build, createRuntimeSync } from 'wasm-attention';
import { peers } from './contenders/index.ts';
import type { Budget } from './measure.ts';
import { suites } from './shapes.ts';

export const usage = `npm run bench -- [options]
  --quick          under a minute: fewer rounds, onnxruntime-web on two shapes; exit code 1 where less is reached than was
  --only NAME      the shapes whose names contain NAME; may be repeated
  --build BUILD    simd or relaxed; default: every build that this engine runs
  --peers NAMES    ${Object.keys(peers).join(',')} or none; default: all
  --threads N      also run with N threads; default 2
  --json FILE      default bench/results.json
  --svg FILE       draws the chart
  --readme         writes the table of README.md and its chart, docs/bench.svg; of a whole run, on Node 22 or newer
  --from FILE      measures nothing: chart and table are those of a JSON that a run wrote`;

export type Options = {
  quick: boolean;
  suites: typeof suites;
  builds: Build[];
  peers: string[];
  /** The shapes that the peers run; undefined for all. */
  peerShapes: string[] | undefined;
  threads: number;
  json: string;
  svg: string | undefined;
  readme: boolean;
  /** Results of an earlier run, in place of a new one. */
  from: string | undefined;
  budget: Budget;
  processes: number;
};

const quickPeers = ['onnxruntime-web'];
const quickPeerShapes = ['BERT-large', 'ViT-B/16'];
const quickLeavesOut = ['diffusion self', 'decode ×8'];

function fail(message: string): never {
  console.error(`bench: ${message}\n${usage}`);
  process.exit(2);
}

/** npm runs this in bench/, whoever calls it may be elsewhere. */
const fromCaller = (file: string) => resolve(process.env.INIT_CWD ?? '.', file);

export const nodeMajor = Number(process.versions.node.split('.')[0]);

function runnableBuilds(asked: string | undefined): Build[] {
  if (asked !== undefined && asked !== 'simd' && asked !== 'relaxed')
    fail(`--build is "${asked}", not simd or relaxed`);
  // Node 20 has it behind a flag: whoever asks for the build by name gets it.
  if (asked === 'relaxed' && nodeMajor < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  const builds: Build[] = asked ? [asked] : ['relaxed', 'simd'];
  return builds.filter((build) => {
    try {
      createRuntimeSync({ build }).dispose();
      return true;
    } catch (error) {
      if (asked) throw error;
      return false;
    }
  });
}

export function readOptions(args: string[]): Options {
  let values: Values;
  try {
    ({ values } = parse(args));
  } catch (error) {
    fail((error as Error).message);
  }
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const { quick = false, only = [] } = values;
  const chosen = suites.filter((shapes) =>
    shapes.some(({ name }) =>
      only.length > 0 ? only.some((part) => name.includes(part)) : !(quick && quickLeavesOut.includes(name)),
    ),
  );
  if (chosen.length === 0) fail(`no shape is called ${only.join(' or ')}`);
  const defaultPeers = quick ? quickPeers : Object.keys(peers);
  const named = values.peers === 'none' ? [] : (values.peers?.split(',') ?? defaultPeers);
  for (const name of named) if (!peers[name]) fail(`no peer is called "${name}"`);
  const { readme = false, from } = values;
  checkReadme(values);
  const threads = Number(values.threads ?? 2);
  if (!Number.isInteger(threads) || threads < 1) fail(`--threads is "${values.threads}", not a count`);
  return {
    quick,
    suites: chosen,
    builds: runnableBuilds(values.build),
    peers: named,
    peerShapes: quick && !values.peers ? quickPeerShapes : undefined,
    threads,
    json: values.json ? fromCaller(values.json) : 'results.json',
    svg: values.svg && fromCaller(values.svg),
    readme,
    from: from && fromCaller(from),
    budget: quick ? { seconds: 2.5, rounds: 15 } : { seconds: 10, rounds: 40 },
    processes: quick ? 3 : 7,
  };
}

type Values = ReturnType<typeof parse>['values'];

/** Before minutes are spent on a run that cannot be published. */
function checkReadme({ readme, from, svg, quick, only, build, peers }: Values): void {
  if (from && !readme && !svg) fail('--from is for --svg or --readme');
  if (!readme || from) return;
  const part = Object.entries({ quick, only, build, peers }).find(([, value]) => value !== undefined);
  if (part) fail(`--readme is of a whole run, without --${part[0]}`);
  if (nodeMajor < 22) fail(`--readme is of the relaxed build: Node 22 or newer, not ${nodeMajor}`);
}

function parse(args: string[]) {
  return parseArgs({
    args,
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string', multiple: true },
      build: { type: 'string' },
      peers: { type: 'string' },
      threads: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      readme: { type: 'boolean' },
      from: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
}
