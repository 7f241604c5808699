/** A set of keys as sorted, disjoint, half-open intervals: [start₀, end₀, start₁, end₁, …]. */
export type Intervals = readonly number[];

export const none: Intervals = [];

/** [start, end) cut to [0, keys). */
export function interval(start: number, end: number, keys: number): Intervals {
  const first = Math.max(start, 0);
  const last = Math.min(end, keys);
  return first < last ? [first, last] : none;
}

/** The keys in which `visible` holds. */
export function intervalsWhere(keys: number, visible: (key: number) => unknown): Intervals {
  const found: number[] = [];
  let inside = false;
  for (let j = 0; j < keys; j++) {
    if (Boolean(visible(j)) === inside) continue;
    found.push(j);
    inside = !inside;
  }
  if (inside) found.push(keys);
  return found;
}

/** Intervals of any order that may overlap, as a set; cut to [0, keys). */
export function unionOf(parts: readonly (readonly [number, number])[], keys: number): Intervals {
  const found: number[] = [];
  for (const [start, end] of [...parts].sort((a, b) => a[0] - b[0]))
    append(found, Math.max(start, 0), Math.min(end, keys));
  return found;
}

/** Adds an interval that begins no earlier than the last one. */
function append(found: number[], start: number, end: number): void {
  if (start >= end) return;
  const last = found.length - 1;
  if (last > 0 && start <= found[last]) found[last] = Math.max(found[last], end);
  else found.push(start, end);
}

export function intersection(a: Intervals, b: Intervals): Intervals {
  if (a.length === 0 || b.length === 0) return none;
  const found: number[] = [];
  for (let x = 0, y = 0; x < a.length && y < b.length; ) {
    const start = Math.max(a[x], b[y]);
    const end = Math.min(a[x + 1], b[y + 1]);
    if (start < end) found.push(start, end);
    if (a[x + 1] < b[y + 1]) x += 2;
    else y += 2;
  }
  return found;
}

export function complement(a: Intervals, keys: number): Intervals {
  const found: number[] = [];
  let start = 0;
  for (let x = 0; x < a.length; x += 2) {
    if (start < a[x]) found.push(start, a[x]);
    start = a[x + 1];
  }
  if (start < keys) found.push(start, keys);
  return found;
}

export function union(a: Intervals, b: Intervals): Intervals {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const found: number[] = [];
  for (let x = 0, y = 0; x < a.length || y < b.length; ) {
    if (y >= b.length || a[x] <= b[y]) {
      append(found, a[x], a[x + 1]);
      x += 2;
    } else {
      append(found, b[y], b[y + 1]);
      y += 2;
    }
  }
  return found;
}
