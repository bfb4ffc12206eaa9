// Runs of frames: first and last of each.

export type Span = [number, number];

export const inside = (spans: Span[], index: number): boolean => spans.some(([first, last]) => first <= index && index <= last);

export function added(spans: Span[], index: number): Span[] {
  if (inside(spans, index)) return spans;
  const all = [...spans.map(([first, last]): Span => [first, last]), [index, index] as Span];
  all.sort((a, b) => a[0] - b[0]);
  const merged: Span[] = [];
  for (const span of all) {
    const last = merged.at(-1);
    if (last && span[0] <= last[1] + 1) last[1] = Math.max(last[1], span[1]);
    else merged.push(span);
  }
  return merged;
}

export function removed(spans: Span[], index: number): Span[] {
  return spans.flatMap(([first, last]): Span[] => {
    if (index < first || index > last) return [[first, last]];
    const parts: Span[] = [];
    if (first < index) parts.push([first, index - 1]);
    if (index < last) parts.push([index + 1, last]);
    return parts;
  });
}
