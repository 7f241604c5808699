const IMPORTS = 2;
const MEMORY = 2;

/**
 * The same module importing shared or unshared memory. Both come from one binary, compiled for shared memory so that the optimiser
 * never assumes a single thread: they differ in one bit, the one of the import's limits. Other modules stay as they are.
 */
export function withShared(bytes: Uint8Array, shared: boolean): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  let at = 8;
  const unsigned = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = copy[at++];
      value |= (byte & 127) << shift;
      if (!(byte >= 128)) return value;
    }
  };
  const skipName = () => {
    const length = unsigned();
    at += length;
  };
  while (at < copy.length) {
    const section = copy[at++];
    const length = unsigned();
    if (section !== IMPORTS) {
      at += length;
      continue;
    }
    unsigned();
    skipName();
    skipName();
    if (copy[at++] !== MEMORY) break;
    copy[at] = shared ? 3 : 1;
    return copy;
  }
  return copy;
}
