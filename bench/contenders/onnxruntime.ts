import type { InferenceSession, Tensor, TypedTensor } from 'onnxruntime-common';
import { inputs, swapMiddle } from '../data.ts';
import type { Shape } from '../shapes.ts';
import { type Contender, DoesNotApply, type Loaded } from './contender.ts';
import { onnxModel } from './onnxModel.ts';
import { operators } from './operators.ts';

type OnnxRuntime = {
  InferenceSession: { create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  Tensor: new (type: 'float32' | 'int32', data: Float32Array | Int32Array, dims: number[]) => Tensor;
};

const web = 'onnxruntime-web';

/** One contender an operator; the session copies its result out of its heap, as it does for every user. */
function contenders(system: string, ort: OnnxRuntime, memoryBytes?: () => number): Contender[] {
  return Object.entries(operators).map(([way, operator]) => ({
    system,
    way,
    async prepare(shape, inputs) {
      const call = operator(shape, inputs);
      if (shape.window && system === web) throw new DoesNotApply('window: over half a minute a call');
      const session = await ort.InferenceSession.create(onnxModel(call), {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        logSeverityLevel: 4,
      });
      const feeds: Record<string, Tensor> = {};
      for (const [name, feed] of Object.entries(call.feeds)) {
        if (feed) feeds[name] = new ort.Tensor(feed.type, feed.data, feed.dims);
      }
      let result: Tensor;
      return {
        async run() {
          result = (await session.run(feeds))[call.outputs[0]];
        },
        output() {
          const { data } = result as TypedTensor<'float32'>;
          return call.transposed ? swapMiddle(data, shape.batch, shape.queries, shape.heads) : data;
        },
        memoryBytes,
        release: () => session.release(),
      };
    },
  }));
}

/** Its WebAssembly build, on one thread. A first session makes its linear memory. */
export async function onnxruntimeWeb(): Promise<Loaded> {
  const system = web;
  const ort = await import('onnxruntime-web');
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  const { memories, restore } = watchGlobals();
  const list = contenders(system, ort as unknown as OnnxRuntime, () =>
    memories.reduce((bytes, memory) => bytes + memory.buffer.byteLength, 0),
  );
  try {
    const tiny: Shape = { name: '', kind: 'short', batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 1, headDim: 8 };
    await (await list[0].prepare(tiny, inputs(tiny))).release();
  } finally {
    restore();
  }
  return { system, version: ort.env.versions.web, contenders: list };
}

/**
 * Its linear memory is not exported: the one way to see it is to be there when it is made. And it leaves Node's Worker
 * as a global, which other packages then take for a browser's.
 */
function watchGlobals() {
  const { Memory } = WebAssembly;
  const worker = Object.getOwnPropertyDescriptor(globalThis, 'Worker');
  const memories: WebAssembly.Memory[] = [];
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      memories.push(this);
    }
  };
  return {
    memories,
    restore() {
      WebAssembly.Memory = Memory;
      if (worker) Object.defineProperty(globalThis, 'Worker', worker);
      else Reflect.deleteProperty(globalThis, 'Worker');
    },
  };
}

/** Native code with the widest vectors of the machine, on one thread: a yardstick, not a competitor. */
export async function onnxruntimeNode(): Promise<Loaded> {
  const ort = await import('onnxruntime-node');
  const system = 'onnxruntime-node';
  return { system, version: ort.env.versions.node, contenders: contenders(system, ort as unknown as OnnxRuntime) };
}
