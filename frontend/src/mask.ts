// Masks as the server sends them: runs of equal ids, exact.

export interface Mask {
  width: number;
  height: number;
  ids: Uint16Array;
}

export function decode(buffer: ArrayBuffer): Mask {
  const view = new DataView(buffer);
  const height = view.getUint32(0, true);
  const width = view.getUint32(4, true);
  const ids = new Uint16Array(width * height);
  let place = 0;
  for (let at = 8; at < buffer.byteLength; at += 6) {
    const id = view.getUint16(at, true);
    const length = view.getUint32(at + 2, true);
    if (id) ids.fill(id, place, place + length);
    place += length;
  }
  return { width, height, ids };
}

export function encode(mask: Mask): ArrayBuffer {
  const { ids } = mask;
  let runs = 0;
  for (let i = 0; i < ids.length; i += 1) if (i === 0 || ids[i] !== ids[i - 1]) runs += 1;
  const buffer = new ArrayBuffer(8 + 6 * runs);
  const view = new DataView(buffer);
  view.setUint32(0, mask.height, true);
  view.setUint32(4, mask.width, true);
  let at = 8;
  for (let start = 0; start < ids.length; ) {
    const id = ids[start] as number;
    let end = start + 1;
    while (end < ids.length && ids[end] === id) end += 1;
    view.setUint16(at, id, true);
    view.setUint32(at + 2, end - start, true);
    at += 6;
    start = end;
  }
  return buffer;
}

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export const whole = (mask: Mask): Box => ({ left: 0, top: 0, right: mask.width, bottom: mask.height });

export function joined(a: Box | null, b: Box): Box {
  if (!a) return b;
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

// What painting may touch: an eraser takes the active object alone, or everything.
export type Paint = { id: number } | { erase: number | "all" };

function put(mask: Mask, at: number, paint: Paint): void {
  if ("id" in paint) mask.ids[at] = paint.id;
  else if (paint.erase === "all" || mask.ids[at] === paint.erase) mask.ids[at] = 0;
}

export function disc(mask: Mask, x: number, y: number, radius: number, paint: Paint): Box {
  const box = {
    left: Math.max(0, Math.floor(x - radius)),
    top: Math.max(0, Math.floor(y - radius)),
    right: Math.min(mask.width, Math.ceil(x + radius) + 1),
    bottom: Math.min(mask.height, Math.ceil(y + radius) + 1),
  };
  for (let row = box.top; row < box.bottom; row += 1) {
    const half = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - y) ** 2));
    const first = Math.max(box.left, Math.ceil(x - half - 0.5));
    const last = Math.min(box.right - 1, Math.floor(x + half - 0.5));
    for (let column = first; column <= last; column += 1) put(mask, row * mask.width + column, paint);
  }
  const column = Math.floor(x);
  const row = Math.floor(y);
  if (column >= 0 && row >= 0 && column < mask.width && row < mask.height) put(mask, row * mask.width + column, paint);
  return box;
}

export function line(mask: Mask, from: [number, number], to: [number, number], radius: number, paint: Paint): Box {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const steps = Math.max(1, Math.ceil(length / Math.max(0.5, radius / 2)));
  let box: Box | null = null;
  for (let i = 0; i <= steps; i += 1) {
    const t = i / steps;
    box = joined(box, disc(mask, from[0] + (to[0] - from[0]) * t, from[1] + (to[1] - from[1]) * t, radius, paint));
  }
  return box as Box;
}

// Pixels whose centre is inside, by the even-odd rule.
export function polygon(mask: Mask, points: [number, number][], paint: Paint): Box {
  const ys = points.map((p) => p[1]);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(mask.height, Math.ceil(Math.max(...ys)));
  for (let row = top; row < bottom; row += 1) {
    const y = row + 0.5;
    const crossings: number[] = [];
    points.forEach(([x1, y1], i) => {
      const [x2, y2] = points[(i + 1) % points.length] as [number, number];
      if (y1 <= y !== y2 <= y) crossings.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(0, Math.ceil((crossings[i] as number) - 0.5));
      const last = Math.min(mask.width - 1, Math.ceil((crossings[i + 1] as number) - 0.5) - 1);
      for (let column = first; column <= last; column += 1) put(mask, row * mask.width + column, paint);
    }
  }
  const xs = points.map((p) => p[0]);
  return {
    left: Math.max(0, Math.floor(Math.min(...xs))),
    top,
    right: Math.min(mask.width, Math.ceil(Math.max(...xs)) + 1),
    bottom,
  };
}

export interface Region {
  id: number;
  pixels: number[];
  box: Box;
}

// The connected region of equal ids around a pixel.
export function region(mask: Mask, x: number, y: number): Region | null {
  const { width, height, ids } = mask;
  const start = Math.floor(y) * width + Math.floor(x);
  const id = ids[start];
  if (id === undefined) return null;
  const pixels = [start];
  const seen = new Uint8Array(ids.length);
  seen[start] = 1;
  let box: Box | null = null;
  for (let place = 0; place < pixels.length; place += 1) {
    const at = pixels[place] as number;
    const column = at % width;
    const row = (at - column) / width;
    box = joined(box, { left: column, top: row, right: column + 1, bottom: row + 1 });
    for (const [next, inside] of [
      [at - 1, column > 0],
      [at + 1, column < width - 1],
      [at - width, row > 0],
      [at + width, row < height - 1],
    ] as [number, boolean][]) {
      if (inside && !seen[next] && ids[next] === id) {
        seen[next] = 1;
        pixels.push(next);
      }
    }
  }
  return { id, pixels, box: box as Box };
}

// Whether nothing encloses a region: it is background that reaches all sides of the picture.
export function isOpen({ id, box }: Region, mask: Mask): boolean {
  return id === 0 && box.left === 0 && box.top === 0 && box.right === mask.width && box.bottom === mask.height;
}

export function pour(mask: Mask, { id, pixels, box }: Region, paint: Paint): Box | null {
  if ("id" in paint && paint.id === id) return null;
  for (const at of pixels) put(mask, at, paint);
  return box;
}
