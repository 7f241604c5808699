import { readSafetensors, type Tensor } from 'wasm-attention';
import { count } from '../support.ts';
import { expectClose, type Operation } from './trial.ts';

const make: Operation = (inputs, pick) => {
  const array = inputs.random(pick.list(pick.integer(0, 4), 0, 5));
  const dtype = pick.one('float32' as const, 'int32' as const, 'boolean' as const);
  const values = {
    float32: array.data,
    int32: array.data.map(Math.trunc),
    boolean: array.data.map((x) => Number(x !== 0)),
  };
  return {
    args: [array.shape, array.data, dtype],
    call: (shape, data, given) => inputs.runtime.tensor(shape, data, given),
    check: (tensor: Tensor) => expectClose(tensor.data, values[dtype]),
  };
};

const zeros: Operation = (inputs, pick) => {
  const shape = pick.list(pick.integer(0, 4), 0, 5);
  return {
    args: [shape, pick.one('float32', 'int32', 'boolean')],
    call: (given, dtype) => inputs.runtime.zeros(given, dtype),
    check: (tensor: Tensor) => expectClose(tensor.data, new Float32Array(count(shape))),
  };
};

const view: Operation = (inputs, pick) => {
  const array = inputs.random([pick.integer(1, 6), pick.integer(1, 6)]);
  const [rows, columns] = array.shape;
  const start = pick.integer(0, rows - 1);
  const length = pick.integer(0, rows - start);
  const tensor = inputs.upload(array);
  return {
    args: [start, length, [columns * length]],
    call: (from, most, shape) => tensor.slice(from, most).view(shape),
    check: (part: Tensor) => expectClose(part.data, array.data.subarray(start * columns, (start + length) * columns)),
  };
};

const set: Operation = (inputs, pick) => {
  const array = inputs.random(pick.list(2, 0, 6));
  const tensor = inputs.upload(inputs.random(array.shape));
  return {
    args: [array.data],
    call: (data) => tensor.set(data),
    check: () => expectClose(tensor.toArray(), array.data),
    writes: [tensor],
  };
};

/** A file of one tensor; the hostile one has other bytes in some places. */
const file: Operation = (inputs, pick) => {
  const array = inputs.random([pick.integer(0, 4), 3]);
  const bytes = new Uint8Array(array.data.buffer);
  const header = { weight: { dtype: 'F32', shape: array.shape, data_offsets: [0, bytes.length] } };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const whole = new Uint8Array(8 + json.length + bytes.length);
  new DataView(whole.buffer).setBigUint64(0, BigInt(json.length), true);
  whole.set(json, 8);
  whole.set(bytes, 8 + json.length);
  const changes = Array.from({ length: pick.integer(1, 3) }, () => [
    pick.integer(0, 7 + json.length),
    pick.integer(0, 255),
  ]);
  return {
    args: [{ changes: [] }],
    call(given) {
      const { changes: none, ...more } = given ?? {};
      const hostile = Object.keys(more).length > 0 || !Array.isArray(none);
      const copy = whole.slice();
      if (hostile) for (const [at, byte] of changes) copy[at] = byte;
      return readSafetensors(copy);
    },
    check: ({ weight }: ReturnType<typeof readSafetensors>) => expectClose(weight.data as Float32Array, array.data),
  };
};

export const tensorOperations: Record<string, Operation> = {
  'runtime.tensor': make,
  'runtime.zeros': zeros,
  'tensor.slice, view': view,
  'tensor.set': set,
  readSafetensors: file,
};
