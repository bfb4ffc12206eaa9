// The frame with its mask on a canvas that can be zoomed and moved. Only what changed is drawn anew.

import { type Box, joined, type Mask, whole } from "./mask";
import type { Thing } from "./server";

const OPACITY = 0.42;

export class Picture {
  readonly canvas: HTMLCanvasElement;
  mask: Mask;
  zoom = 1;
  left = 0;
  top = 0;
  hidden = new Set<number>();
  opacity = OPACITY;
  decorate: ((context: CanvasRenderingContext2D) => void) | null = null;
  private frame: CanvasImageSource | null = null;
  private readonly overlay: HTMLCanvasElement;
  private readonly overlayContext: CanvasRenderingContext2D;
  private colours = new Map<number, [number, number, number]>();
  private dirty: Box | null = null;
  private asked = false;
  fitted = true;
  viewed: (() => void) | null = null;

  constructor(
    canvas: HTMLCanvasElement,
    readonly width: number,
    readonly height: number,
  ) {
    this.canvas = canvas;
    this.mask = { width, height, ids: new Uint16Array(width * height) };
    this.overlay = document.createElement("canvas");
    this.overlay.width = width;
    this.overlay.height = height;
    this.overlayContext = this.overlay.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  colour(things: Thing[]): void {
    this.colours = new Map(things.map((thing) => [thing.id, thing.colour]));
    this.touch(whole(this.mask));
  }

  show(frame: CanvasImageSource | null): void {
    this.frame = frame;
    this.ask();
  }

  take(mask: Mask): void {
    this.mask = mask;
    this.touch(whole(mask));
  }

  touch(box: Box | null): void {
    if (box) this.dirty = joined(this.dirty, box);
    this.ask();
  }

  // Where on the picture a place of the page lies, in pixels of the video.
  at(event: { clientX: number; clientY: number }): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - this.left) / this.zoom, (event.clientY - box.top - this.top) / this.zoom];
  }

  fit(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.zoom = Math.min((clientWidth - 24) / this.width, (clientHeight - 24) / this.height);
    this.left = (clientWidth - this.width * this.zoom) / 2;
    this.top = (clientHeight - this.height * this.zoom) / 2;
    this.fitted = true;
    this.place();
  }

  zoomTo(zoom: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const next = Math.min(40, Math.max(0.05, zoom));
    this.left = x - ((x - this.left) / this.zoom) * next;
    this.top = y - ((y - this.top) / this.zoom) * next;
    this.zoom = next;
    this.fitted = false;
    this.place();
  }

  move(x: number, y: number): void {
    this.left += x;
    this.top += y;
    this.fitted = false;
    this.place();
  }

  // Show a place of the video in the middle.
  look(zoom: number, x: number, y: number): void {
    this.zoomTo(zoom);
    this.left = this.canvas.clientWidth / 2 - x * this.zoom;
    this.top = this.canvas.clientHeight / 2 - y * this.zoom;
    this.place();
  }

  middle(): [number, number] {
    return [(this.canvas.clientWidth / 2 - this.left) / this.zoom, (this.canvas.clientHeight / 2 - this.top) / this.zoom];
  }

  // On whole pixels of the screen, so that each pixel of the video has sharp borders where it is drawn and where it is hit.
  private place(): void {
    const ratio = window.devicePixelRatio || 1;
    this.left = Math.round(this.left * ratio) / ratio;
    this.top = Math.round(this.top * ratio) / ratio;
    this.canvas.dataset["view"] = `${this.zoom} ${this.left} ${this.top}`;
    this.viewed?.();
    this.ask();
  }

  ask(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  private resize(): void {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    if (this.fitted) this.fit();
    this.ask();
  }

  private draw(): void {
    if (this.dirty) this.paint(this.dirty);
    this.dirty = null;
    const context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(this.zoom * ratio, 0, 0, this.zoom * ratio, this.left * ratio, this.top * ratio);
    context.imageSmoothingEnabled = this.zoom < 3;
    if (this.frame) context.drawImage(this.frame, 0, 0, this.width, this.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.overlay, 0, 0);
    this.decorate?.(context);
  }

  // Colours of a part of the mask: see-through inside, solid along outlines.
  private paint(box: Box): void {
    const { width, height, ids } = this.mask;
    const left = Math.max(0, box.left - 1);
    const top = Math.max(0, box.top - 1);
    const right = Math.min(width, box.right + 1);
    const bottom = Math.min(height, box.bottom + 1);
    if (right <= left || bottom <= top) return;
    const image = this.overlayContext.createImageData(right - left, bottom - top);
    const inside = Math.round(this.opacity * 255);
    let at = 0;
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1, at += 4) {
        const place = row * width + column;
        const id = ids[place] as number;
        if (!id || this.hidden.has(id)) continue;
        const [red, green, blue] = this.colours.get(id) ?? [255, 255, 255];
        const edge =
          (column > 0 && ids[place - 1] !== id) ||
          (column < width - 1 && ids[place + 1] !== id) ||
          (row > 0 && ids[place - width] !== id) ||
          (row < height - 1 && ids[place + width] !== id);
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = edge ? 255 : inside;
      }
    }
    this.overlayContext.putImageData(image, left, top);
  }
}
