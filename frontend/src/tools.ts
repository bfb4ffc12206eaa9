// Brush, eraser, polygon, fill, smart outline and hand: what a pointer on the picture does.

import { toast } from "./dom";
import { type Box, disc, isOpen, joined, line, type Paint, polygon, pour, region, whole } from "./mask";
import type { Picture } from "./picture";

export type Tool = "brush" | "eraser" | "polygon" | "fill" | "outline" | "pan";
export const TOOLS: [Tool, string, string][] = [
  ["brush", "Brush", "B"],
  ["eraser", "Eraser: the chosen object; with Shift all", "E"],
  ["polygon", "Polygon: click corners, Enter closes", "P"],
  ["outline", "Smart outline: draw around an object roughly, it snaps to edges", "O"],
  ["fill", "Fill an enclosed region; with Shift any", "F"],
  ["pan", "Move the picture", "H"],
];

export interface Host {
  picture: Picture;
  object(): number;
  may(): boolean;
  done(): void;
  dropped(): void;
  outlined(points: [number, number][]): void;
}

export class Pen {
  tool: Tool = "brush";
  radius = 12;
  private points: [number, number][] = [];
  private last: [number, number] | null = null;
  private hover: [number, number] | null = null;
  private keyed = false;
  private picking: ((x: number, y: number) => void) | null = null;
  private panning = false;
  private changed: Box | null = null;
  private readonly touches = new Map<number, PointerEvent>();

  constructor(private readonly host: Host) {
    const { canvas } = host.picture;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.up(event));
    canvas.addEventListener("pointerleave", () => {
      if (!this.keyed) this.hover = null;
      host.picture.ask();
    });
    canvas.addEventListener("dblclick", () => this.close());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = canvas.getBoundingClientRect();
        host.picture.zoomTo(host.picture.zoom * 1.0015 ** -event.deltaY, event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
    host.picture.decorate = (context) => this.decorate(context);
  }

  // Whether something is drawn just now that the server does not know of.
  get busy(): boolean {
    return this.last !== null || this.changed !== null || this.points.length > 0;
  }

  // The pen, moved by keys: by half a brush, or by one pixel.
  step(x: number, y: number, fine: boolean): void {
    const { picture } = this.host;
    const by = fine ? 1 : Math.max(1, this.radius / 2);
    const from = this.hover ?? [picture.width / 2, picture.height / 2];
    const at: [number, number] = [
      Math.min(picture.width, Math.max(0, from[0] + x * by)),
      Math.min(picture.height, Math.max(0, from[1] + y * by)),
    ];
    this.hover = at;
    if (this.keyed && this.last) this.stroke(at, this.paint(false));
    else if (this.keyed && this.tool === "outline") this.points.push(at);
    picture.ask();
  }

  // The next place that is pressed is not drawn on, but told.
  pick(picked: (x: number, y: number) => void): void {
    this.stop();
    this.picking = picked;
  }

  // The pen, put down or lifted by a key.
  press(): void {
    const { picture } = this.host;
    this.hover ??= [picture.width / 2, picture.height / 2];
    if (this.picking) this.picked(this.hover);
    else if (this.keyed) {
      this.keyed = false;
      this.lift();
    } else if (this.tool !== "pan" && this.host.may()) {
      this.keyed = this.tool === "brush" || this.tool === "eraser" || this.tool === "outline";
      this.begin(this.hover, this.paint(false));
    }
  }

  choose(tool: Tool): void {
    if (this.keyed) this.press();
    this.tool = tool;
    this.points = [];
    this.host.picture.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
    this.host.picture.ask();
  }

  // Corners so far become a region.
  close(): void {
    if (this.tool === "polygon" && this.points.length > 2) {
      this.finish(polygon(this.host.picture.mask, this.points, { id: this.host.object() }));
    }
    this.points = [];
    this.host.picture.ask();
  }

  stop(): void {
    this.picking = null;
    if (this.keyed) this.press();
    this.points = [];
    this.host.picture.ask();
  }

  private paint(all: boolean): Paint {
    if (this.tool !== "eraser") return { id: this.host.object() };
    return { erase: all ? "all" : this.host.object() };
  }

  private down(event: PointerEvent): void {
    const { picture } = this.host;
    picture.canvas.setPointerCapture(event.pointerId);
    picture.canvas.focus();
    this.touches.set(event.pointerId, event);
    if (this.touches.size > 1) {
      // The first finger of two drew a dot that nobody wanted.
      if (this.last) this.host.dropped();
      this.last = null;
      this.changed = null;
      this.points = [];
      this.panning = true;
      return;
    }
    this.panning = this.tool === "pan" || event.button === 1 || event.button === 2;
    if (this.picking && !this.panning) this.picked(picture.at(event));
    else if (!this.panning && this.host.may()) this.begin(picture.at(event), this.paint(event.shiftKey), event.shiftKey);
  }

  private picked([x, y]: [number, number]): void {
    this.picking?.(Math.floor(x), Math.floor(y));
    this.picking = null;
  }

  private begin(at: [number, number], paint: Paint, any = false): void {
    const { picture } = this.host;
    if (this.tool === "brush" || this.tool === "eraser") {
      this.last = at;
      this.mark(disc(picture.mask, at[0], at[1], this.radius, paint));
    } else if (this.tool === "fill") {
      const inside = at[0] >= 0 && at[1] >= 0 && at[0] < picture.width && at[1] < picture.height;
      const found = inside ? region(picture.mask, at[0], at[1]) : null;
      // An outline with a gap of a pixel would lose the whole picture to the object.
      if (found && !any && isOpen(found, picture.mask)) toast("the outline has a gap: close it, or press Shift to fill all");
      else this.finish(found && pour(picture.mask, found, paint));
    } else if (this.tool === "polygon") {
      const first = this.points[0];
      if (first && this.points.length > 2 && Math.hypot(at[0] - first[0], at[1] - first[1]) * picture.zoom < 10) this.close();
      else this.points.push(at);
      picture.ask();
    } else {
      this.points = [at];
    }
  }

  private moved(event: PointerEvent): void {
    const { picture } = this.host;
    this.hover = picture.at(event);
    const before = this.touches.get(event.pointerId);
    if (before && this.panning) {
      if (this.touches.size === 2) {
        const other = [...this.touches.values()].find((touch) => touch.pointerId !== event.pointerId) as PointerEvent;
        const far = (one: PointerEvent) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        const box = picture.canvas.getBoundingClientRect();
        picture.zoomTo((picture.zoom * far(event)) / Math.max(1, far(before)), other.clientX - box.left, other.clientY - box.top);
      } else picture.move(event.clientX - before.clientX, event.clientY - before.clientY);
      this.touches.set(event.pointerId, event);
    } else if (before && this.last) {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const each of steps.length ? steps : [event]) {
        this.stroke(picture.at(each), this.paint(event.shiftKey));
      }
    } else if (before && this.tool === "outline" && this.points.length) this.points.push(this.hover);
    picture.ask();
  }

  private up(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    if (this.panning) {
      this.panning = this.touches.size > 0;
      return;
    }
    this.lift();
  }

  private stroke(at: [number, number], paint: Paint): void {
    if (this.last) this.mark(line(this.host.picture.mask, this.last, at, this.radius, paint));
    this.last = at;
  }

  private lift(): void {
    if (this.last) {
      this.last = null;
      this.finish(this.changed);
    } else if (this.tool === "outline" && this.points.length) {
      const { points } = this;
      this.points = [];
      if (points.length > 8) this.host.outlined(points);
    }
  }

  private mark(box: Box): void {
    this.changed = joined(this.changed, box);
    this.host.picture.touch(box);
  }

  private finish(box: Box | null): void {
    this.changed = null;
    if (!box) return;
    this.host.picture.touch(box ?? whole(this.host.picture.mask));
    this.host.done();
  }

  private decorate(context: CanvasRenderingContext2D): void {
    const { zoom } = this.host.picture;
    context.lineWidth = 1.5 / zoom;
    if (this.points.length) {
      context.beginPath();
      this.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (this.hover && this.tool === "polygon") context.lineTo(...this.hover);
      context.strokeStyle = "#000";
      context.stroke();
      context.setLineDash([5 / zoom, 5 / zoom]);
      context.strokeStyle = "#fff";
      context.stroke();
      context.setLineDash([]);
    }
    if (this.hover && (this.tool === "brush" || this.tool === "eraser")) {
      for (const [colour, more] of [["#000", 1.2], ["#fff", 0]] as [string, number][]) {
        context.beginPath();
        context.arc(this.hover[0], this.hover[1], this.radius + more / zoom, 0, 2 * Math.PI);
        context.strokeStyle = colour;
        context.stroke();
      }
    }
  }
}
