import { readFileSync } from 'node:fs';
import type { Build } from 'wasm-attention';
import type { SuiteResult } from '../measure.ts';
import type { Estimate } from '../statistics.ts';
import type { Outcome } from '../targets.ts';

export type Machine = {
  cpu: string;
  logicalCores: number;
  architecture: string;
  platform: string;
  node: string;
  v8: string;
  /** ISO 8601. */
  date: string;
  builds: Build[];
};

/** A run, as it is written to results.json: chart and table are made of it. */
export type Report = {
  machine: Machine;
  quick: boolean;
  seconds: number;
  systems: { system: string; version?: string; fails?: string }[];
  suites: SuiteResult[];
  overhead: Record<string, Estimate>;
  startup: Record<string, Estimate>;
  outcomes: Outcome[];
};

/** @throws Error where the file is not one that a run wrote */
export function readReport(file: string): Report {
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  if (!Array.isArray(report.suites) || !report.suites.every(({ shapes }) => Array.isArray(shapes)))
    throw new Error(`${file} is not a result of this bench`);
  return report;
}
