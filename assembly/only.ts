/** Whether this is the module of `attention.ts`: the name is one that its targets define (asconfig.json). */
// @ts-ignore: top-level decorator
@inline
export function attentionOnly(): bool {
  // @ts-ignore: see above
  return isDefined(ATTENTION_ONLY);
}
