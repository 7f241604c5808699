// @ts-check
import { Comment, CommentTag, Converter, ReflectionKind } from 'typedoc';

/** @type {[RegExp, string][]} What an export is about, by where it is declared; the first match counts. */
const categories = [
  [/src\/(attention\/cache|reference\/(kvCache|half))/, 'KV cache'],
  [/src\/(attention\/(linear|featureMaps)|reference\/(linearAttention|featureMaps|causalConv))/, 'Linear attention'],
  [/src\/(attention\/mask|reference\/masks)/, 'Masks'],
  [/src\/(attention|reference\/(attention|softmax|state))/, 'Attention'],
  [/src\/(position|reference\/(alibi|relative|resize|rope|rotary|sinusoidal))/, 'Positions'],
  [/src\/reference\/array/, 'Arrays'],
  [/src\/(layers|safetensors|reference)/, 'Layers'],
  [/src\/onnx\/(graph|tensor)/, 'Graphs and tensors'],
  [/src\/onnx/, 'Operators'],
  [/src\/(platforms|runtime|tensor|check)/, 'Runtime and tensors'],
];

/** @param {import('typedoc').Application} app */
export function load(app) {
  /** @type {import('typedoc').Reflection[]} */
  const undocumented = [];

  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const modules = project.getChildrenByKind(ReflectionKind.Module);
    for (const declaration of modules.flatMap(({ children }) => children ?? [])) {
      // Exported by two entries, documented at one.
      if (declaration.isReference()) continue;
      const { fullFileName } = (declaration.sources ?? declaration.signatures?.[0].sources ?? [])[0];
      const category = categories.find(([files]) => files.test(fullFileName))?.[1];
      if (!category) throw new Error(`docs/categories.mjs has no category for ${fullFileName}`);
      for (const documented of declaration.signatures ?? [declaration]) {
        if (!documented.comment) undocumented.push(documented);
        documented.comment ??= new Comment();
        documented.comment.blockTags.push(new CommentTag('@category', [{ kind: 'text', text: category }]));
      }
    }
    // Where they lead depends on the remote of whoever builds this.
    for (const reflection of Object.values(project.reflections)) {
      if (reflection.isDeclaration() || reflection.isSignature()) reflection.sources = undefined;
    }
  });

  // A comment that only has a category would pass for documentation. The categories are made by now.
  app.converter.on(
    Converter.EVENT_RESOLVE_END,
    () => {
      for (const documented of undocumented) documented.comment = undefined;
    },
    -1000,
  );
}
