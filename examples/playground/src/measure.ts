import type { MaskName } from './choices.ts';

export type MethodName = 'tiles' | 'masked' | 'weights' | 'naive';

/** What the worker is asked: the masked tiles' mask, and the size of its window or block. */
export type Order = { lengths: number[]; mask: MaskName; size: number };

/** One measurement: milliseconds of a call, and the bytes that it took beside query, key, value and output. */
export type Point = { method: MethodName; length: number; milliseconds: number; bytes: number };

export type Report =
  | { kind: 'point'; point: Point }
  | { kind: 'ended'; method: MethodName; length: number; why: string }
  | { kind: 'failed'; why: string }
  | { kind: 'done' };
