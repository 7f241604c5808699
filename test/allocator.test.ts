import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Allocator } from '../src/runtime/allocator.ts';

const PAGE = 65536;

function allocatorOf(pages: number, maximum = 1024, heapBase = 1000): Allocator {
  return new Allocator(new WebAssembly.Memory({ initial: pages, maximum }), heapBase, maximum * PAGE);
}

describe('Allocator', () => {
  it('aligns to 64 bytes, above the static data, never at 0', () => {
    for (const heapBase of [0, 1, 63, 64, 1000]) {
      const allocator = allocatorOf(1, 1024, heapBase);
      for (const bytes of [0, 1, 47, 48, 49, 64, 1000]) {
        const address = allocator.allocate(bytes);
        expect(address % 64).toBe(0);
        expect(address).toBeGreaterThanOrEqual(Math.max(64, heapBase));
      }
    }
  });

  it('leaves room for 3 floats that a kernel reads past the end', () => {
    const allocator = allocatorOf(1, 1);
    const [first, second] = [allocator.allocate(64), allocator.allocate(64)];
    expect(second - first).toBeGreaterThanOrEqual(64 + 12);
    expect(() => allocator.allocate(PAGE - allocator.usedBytes - 1024)).toThrow(RangeError);
  });

  it('uses a freed block again', () => {
    const allocator = allocatorOf(1);
    const [first] = [allocator.allocate(100), allocator.allocate(100)];
    allocator.free(first);
    expect(allocator.allocate(101)).toBe(first);
  });

  it('joins freed neighbours, whatever the order', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [0, 2, 1],
      [1, 0, 2],
    ]) {
      const allocator = allocatorOf(1);
      const blocks = [1, 2, 3].map(() => allocator.allocate(48));
      allocator.allocate(48);
      for (const block of order) allocator.free(blocks[block]);
      expect(allocator.allocate(3 * 64 - 16)).toBe(blocks[0]);
    }
  });

  it('grows geometrically', () => {
    const allocator = allocatorOf(1);
    const capacities = new Set([allocator.capacityBytes]);
    for (let i = 0; i < 200; i++) {
      allocator.allocate(PAGE / 2);
      capacities.add(allocator.capacityBytes);
    }
    const sizes = [...capacities];
    expect(sizes.length).toBeLessThan(10);
    for (let i = 1; i < sizes.length; i++) expect(sizes[i]).toBeGreaterThanOrEqual(2 * sizes[i - 1]);
  });

  it('grows by 64 MiB at most beyond what is needed', () => {
    const allocator = allocatorOf(1, 8192);
    for (let i = 0; i < 4; i++) allocator.allocate(50 << 20);
    expect(allocator.capacityBytes).toBeLessThanOrEqual((200 << 20) + (64 << 20) + PAGE);
  });

  it('fills the memory to its limit, then says what was asked, used and allowed, and changes nothing', () => {
    const allocator = allocatorOf(1, 3, 64);
    const all = 3 * PAGE - 64 - 16;
    const address = allocator.allocate(all);
    const state = () => [allocator.usedBytes, allocator.peakBytes, allocator.capacityBytes];
    const before = state();
    expect(() => allocator.allocate(7)).toThrow(
      new RangeError(`memory limit: 7 bytes were asked for, ${all + 16} are used and ${3 * PAGE} allowed`),
    );
    expect(state()).toEqual(before);
    allocator.free(address);
    expect(allocator.allocate(all)).toBe(address);
    for (const bytes of [2 ** 31, 2 ** 32, 2 ** 53, Number.MAX_VALUE]) {
      expect(() => allocator.allocate(bytes)).toThrow(/memory limit/);
    }
    expect(state()).toEqual(before);
  });

  it('grows by what is needed where the engine refuses to double', () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 6 });
    const allocator = new Allocator(memory, 64, 1024 * PAGE);
    allocator.allocate(5 * PAGE);
    expect(memory.buffer.byteLength).toBe(6 * PAGE);
    const used = allocator.usedBytes;
    expect(() => allocator.allocate(5 * PAGE)).toThrow(/memory limit/);
    expect(allocator.usedBytes).toBe(used);
  });

  it('refuses to free what is not allocated', () => {
    const allocator = allocatorOf(1);
    const address = allocator.allocate(8);
    expect(() => allocator.free(address + 64)).toThrow(/not allocated/);
    allocator.free(address);
    expect(() => allocator.free(address)).toThrow(/not allocated/);
  });

  it('hands out disjoint blocks and takes all memory back, in any order of calls', () => {
    const step = fc.oneof(
      fc.record({ allocate: fc.oneof(fc.nat(300), fc.nat(40_000)) }),
      fc.record({ free: fc.nat(1000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.nat(5000), (steps, heapBase) => {
        const allocator = allocatorOf(1, 16, heapBase);
        const live: { address: number; bytes: number }[] = [];
        let peak = 0;
        for (const one of steps) {
          if ('free' in one) {
            if (live.length > 0) allocator.free(live.splice(one.free % live.length, 1)[0].address);
            continue;
          }
          const used = allocator.usedBytes;
          try {
            const block = { address: allocator.allocate(one.allocate), bytes: one.allocate };
            expect(block.address % 64).toBe(0);
            expect(block.address).toBeGreaterThanOrEqual(Math.max(64, heapBase));
            expect(block.address + block.bytes + 12).toBeLessThanOrEqual(allocator.capacityBytes);
            for (const other of live) {
              const apart =
                block.address + block.bytes <= other.address || other.address + other.bytes <= block.address;
              expect(apart).toBe(true);
            }
            live.push(block);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            expect(allocator.usedBytes).toBe(used);
          }
          const least = live.reduce((sum, { bytes }) => sum + bytes, 0);
          expect(allocator.usedBytes).toBeGreaterThanOrEqual(least);
          expect(allocator.usedBytes).toBeLessThanOrEqual(least + live.length * 80);
          peak = Math.max(peak, allocator.usedBytes);
          expect(allocator.peakBytes).toBe(peak);
        }
        for (const { address } of live) allocator.free(address);
        expect(allocator.usedBytes).toBe(0);
        const base = Math.max(64, Math.ceil(heapBase / 64) * 64);
        expect(allocator.allocate(16 * PAGE - base - 16)).toBe(base);
      }),
      { numRuns: 200 },
    );
  });
});
