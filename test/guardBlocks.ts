import type { Runtime } from 'wasm-attention';

const GUARD = 256;

/**
 * From here on every block of the runtime, scratch and results too, lies between guards and begins as NaN. The guards are
 * checked when a block is freed and by the function that is returned.
 */
export function guardBlocks(runtime: Runtime): () => void {
  const { allocator } = runtime;
  const [allocate, free] = [allocator.allocate.bind(allocator), allocator.free.bind(allocator)];
  const sizes = new Map<number, number>();
  const bytes = (address: number, size: number) => new Uint8Array(runtime.buffer, address, size);
  const check = (address: number) => {
    const before = bytes(address - GUARD, GUARD);
    const after = bytes(address + sizes.get(address)!, GUARD);
    if (!before.every((x) => x === 255) || !after.every((x) => x === 255)) {
      throw new Error(`a kernel wrote outside of a block of ${sizes.get(address)} bytes`);
    }
  };
  allocator.allocate = (size) => {
    const address = allocate(size + 2 * GUARD) + GUARD;
    bytes(address - GUARD, size + 2 * GUARD).fill(255);
    sizes.set(address, size);
    return address;
  };
  allocator.free = (address) => {
    check(address);
    sizes.delete(address);
    free(address - GUARD);
  };
  return () => {
    for (const address of sizes.keys()) check(address);
  };
}
