type NodeProcess = { getBuiltinModule?(name: string): unknown };

/**
 * A module of Node, Bun or Deno; undefined elsewhere. A bundler for browsers would stumble over an import of it. Next's edge
 * throws when it is asked for.
 */
export function builtin<T>(name: string): T | undefined {
  try {
    return (globalThis as { process?: NodeProcess }).process?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    return undefined;
  }
}
