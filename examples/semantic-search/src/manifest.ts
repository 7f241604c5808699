export type Weight = { shape: number[]; data: Float32Array };

/** A TensorFlow.js model.json: which weights lie in which shards. */
export type Manifest = {
  weightsManifest: { paths: string[]; weights: { name: string; shape: number[]; dtype: string }[] }[];
};

/** The names of the shards, in the order in which `readWeights` wants their bytes. */
export const shardsOf = ({ weightsManifest }: Manifest) => weightsManifest.flatMap(({ paths }) => paths);

/** The float32 weights of a TensorFlow.js model: one after another in the shards, in the order of its manifest. */
export function readWeights({ weightsManifest }: Manifest, shards: readonly Uint8Array[]): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  let shard = 0;
  for (const { paths, weights: listed } of weightsManifest) {
    const { buffer } = joined(shards.slice(shard, shard + paths.length));
    shard += paths.length;
    let offset = 0;
    for (const { name, shape, dtype, ...rest } of listed) {
      if (!['float32', 'int32'].includes(dtype) || 'quantization' in rest)
        throw new Error(`weight ${name} is ${dtype} or quantised, only float32 and int32 can be read`);
      const size = shape.reduce((product, n) => product * n, 1);
      if (dtype === 'float32') weights.set(name, { shape, data: new Float32Array(buffer, offset, size) });
      offset += size * 4;
    }
  }
  return weights;
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
