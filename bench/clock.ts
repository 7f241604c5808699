/** Starts now; gives seconds of the wall clock, or of CPU where that is less, as on a machine that others use too. */
export function stopwatch(): () => number {
  const cpu = process.cpuUsage();
  const start = performance.now();
  return () => Math.min((performance.now() - start) / 1000, cpuSeconds(cpu));
}

export function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}
