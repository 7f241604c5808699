import type { Place } from '../place.ts';
import { inBrowsers } from './browsers.ts';
import { onEdges } from './edge.ts';
import { lambdas } from './lambda.ts';
import { inNext } from './next.ts';
import { processes } from './node.ts';
import { testRunners } from './testRunners.ts';

export const places: Place[] = [...processes, ...lambdas, ...testRunners, ...onEdges, ...inBrowsers, ...inNext];
