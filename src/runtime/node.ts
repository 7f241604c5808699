type NodeProcess = { getBuiltinModule?(name: string): unknown };

/** A module of Node, Bun or Deno; undefined elsewhere. A bundler for browsers would stumble over an import of it. */
export function builtin<T>(name: string): T | undefined {
  return (globalThis as { process?: NodeProcess }).process?.getBuiltinModule?.(name) as T | undefined;
}
