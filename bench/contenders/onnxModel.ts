import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import type { OperatorCall } from './operators.ts';

const ModelProto = protobuf
  .loadSync(fileURLToPath(new URL('../onnx.proto', import.meta.url)))
  .lookupType('onnx.ModelProto');

const elementTypes = { float32: 1, int32: 6 };
const INT = 2;

/** A model of one node. */
export function onnxModel({ type, domain, attributes, feeds, outputs }: OperatorCall): Uint8Array {
  const value = (name: string, elemType: number, dims?: number[]) => ({
    name,
    type: { tensorType: { elemType, ...(dims && { shape: { dim: dims.map((dimValue) => ({ dimValue })) } }) } },
  });
  const given = Object.entries(feeds).flatMap(([name, feed]) => (feed ? [{ name, ...feed }] : []));
  const model = {
    irVersion: 10,
    opsetImport: [
      { domain: '', version: 23 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: type,
      node: [
        {
          opType: type,
          domain,
          input: Object.entries(feeds).map(([name, feed]) => (feed ? name : '')),
          output: outputs,
          attribute: Object.entries(attributes).map(([name, i]) => ({ name, i, type: INT })),
        },
      ],
      input: given.map((feed) => value(feed.name, elementTypes[feed.type], feed.dims)),
      output: outputs.map((name) => value(name, elementTypes.float32)),
    },
  };
  const invalid = ModelProto.verify(model);
  if (invalid) throw new Error(`onnxModel: ${invalid}`);
  return ModelProto.encode(ModelProto.create(model)).finish();
}
