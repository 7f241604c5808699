const PAGE = 65536;
const ALIGN = 64;
/** Micro-kernels read up to 3 floats past the end of a row: every block ends in that much room, and is aligned on top. */
const TAIL = 16;
/** Memory doubles as it grows, but for no more than this at once: what a large tensor needs is not asked for twice. */
const LARGEST_STEP = 64 << 20;

type Block = { address: number; size: number };

/** Blocks of one linear memory: first fit, 64-byte alignment, freed neighbours coalesced, geometric growth up to `maximumBytes`. */
export class Allocator {
  usedBytes = 0;
  peakBytes = 0;
  readonly #free: Block[] = [];
  readonly #sizes = new Map<number, number>();
  #top: number;
  #cached: ReturnType<typeof viewsOf>;

  constructor(
    readonly memory: WebAssembly.Memory,
    heapBase: number,
    readonly maximumBytes: number,
  ) {
    this.#top = Math.max(ALIGN, roundUp(heapBase, ALIGN));
    this.#cached = viewsOf(memory.buffer);
  }

  /** Views of the whole memory. Not to be kept: growth detaches them. */
  get bytes(): Uint8Array {
    return this.#views().bytes;
  }

  get int32(): Int32Array {
    return this.#views().int32;
  }

  get float32(): Float32Array {
    return this.#views().float32;
  }

  #views() {
    const { buffer } = this.memory;
    if (this.#cached.bytes.buffer !== buffer) this.#cached = viewsOf(buffer);
    return this.#cached;
  }

  get capacityBytes(): number {
    return this.memory.buffer.byteLength;
  }

  allocate(bytes: number): number {
    const size = roundUp(bytes + TAIL, ALIGN);
    const fit = this.#free.findIndex((block) => block.size >= size);
    let address: number;
    if (fit >= 0) {
      const block = this.#free[fit];
      address = block.address;
      if (block.size === size) this.#free.splice(fit, 1);
      else this.#free[fit] = { address: address + size, size: block.size - size };
    } else {
      address = this.#extend(size, bytes);
    }
    this.#sizes.set(address, size);
    this.usedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
    return address;
  }

  /** Memory of the runtime's own, which is never freed and does not count as used. */
  reserve(bytes: number): number {
    const { usedBytes } = this;
    const address = this.allocate(bytes);
    this.usedBytes = usedBytes;
    return address;
  }

  free(address: number): void {
    const size = this.#sizes.get(address);
    if (size === undefined) throw new Error(`Allocator: address ${address} is not allocated`);
    this.#sizes.delete(address);
    this.usedBytes -= size;
    if (address + size === this.#top) {
      this.#top = address;
      const last = this.#free.at(-1);
      if (last && last.address + last.size === this.#top) {
        this.#top = last.address;
        this.#free.pop();
      }
      return;
    }
    let at = this.#free.findIndex((block) => block.address > address);
    if (at < 0) at = this.#free.length;
    this.#free.splice(at, 0, { address, size });
    this.#join(at);
    this.#join(at - 1);
  }

  #join(at: number): void {
    const left = this.#free[at];
    const right = this.#free[at + 1];
    if (!left || !right || left.address + left.size !== right.address) return;
    left.size += right.size;
    this.#free.splice(at + 1, 1);
  }

  #extend(size: number, asked: number): number {
    const address = this.#top;
    const end = address + size;
    const capacity = this.capacityBytes;
    if (end > capacity) {
      const wanted = Math.min(Math.max(end, capacity + Math.min(capacity, LARGEST_STEP)), this.maximumBytes);
      const refused = () =>
        new RangeError(
          `memory limit: ${asked} bytes were asked for, ${this.usedBytes} are used and ${this.maximumBytes} allowed`,
        );
      if (end > this.maximumBytes) throw refused();
      try {
        this.memory.grow(Math.ceil((wanted - capacity) / PAGE));
      } catch {
        try {
          this.memory.grow(Math.ceil((end - capacity) / PAGE));
        } catch {
          throw refused();
        }
      }
    }
    this.#top = end;
    return address;
  }
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

function viewsOf(buffer: ArrayBufferLike) {
  return { bytes: new Uint8Array(buffer), int32: new Int32Array(buffer), float32: new Float32Array(buffer) };
}
