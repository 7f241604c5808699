export { AttentionMask, type MaskContext } from './masks/attentionMask.ts';
/**
 * Ready-made masks.
 * @throws TypeError and RangeError for arguments of a wrong kind or value; sizes that a mask does not fit are refused by the call that uses it
 */
export * as masks from './masks/index.ts';
