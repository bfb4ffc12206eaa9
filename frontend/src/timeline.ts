// The video from left to right: what is drawn, tracked, stale and doubtful, and where one is.

import type { Project, Timeline } from "./server";

const TOP = 26;
const ROW = 10;

export class Track {
  frame = 0;
  sure: Timeline = { frames: [], confidence: {} };
  marked: [number, number] | null = null;

  private readonly watcher = new ResizeObserver(() => this.draw());
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");

  readonly draw = (): void => {
    const { canvas, project } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const x = (frame: number) => (frame / project.count) * width;
    const bar = (first: number, last: number, fill: string, top: number, tall: number) => {
      context.fillStyle = fill;
      context.fillRect(x(first), top, Math.max(1.5, x(last + 1) - x(first)), tall);
    };
    context.fillStyle = colour("--line");
    context.fillRect(0, TOP, width, 8);
    for (const [first, last] of project.tracked) bar(first, last, colour("--accent"), TOP, 8);
    for (const [first, last] of project.stale) bar(first, last, colour("--stale"), TOP, 8);
    this.confidence(context, x);
    this.ticks(context, x, width, colour("--soft"));
    for (const frame of project.keyframes) {
      const middle = x(frame + 0.5);
      context.fillStyle = colour("--text");
      context.beginPath();
      context.moveTo(middle, TOP - 2);
      context.lineTo(middle - 5, TOP - 9);
      context.lineTo(middle + 5, TOP - 9);
      context.fill();
    }
    context.fillStyle = colour("--accent-strong");
    context.fillRect(x(this.frame + 0.5) - 1, 0, 2, height);
  };

  constructor(
    readonly canvas: HTMLCanvasElement,
    private project: Project,
    private readonly seek: (frame: number) => void,
  ) {
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-label", "Frame");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
      this.seek(this.at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.seek(this.at(event));
    });
    this.watcher.observe(canvas);
    this.scheme.addEventListener("change", this.draw);
    this.take(project);
  }

  take(project: Project): void {
    this.project = project;
    this.canvas.style.height = `${TOP + 22 + ROW * Math.min(6, project.objects.length)}px`;
    this.canvas.setAttribute("aria-valuemin", "0");
    this.canvas.setAttribute("aria-valuemax", String(project.count - 1));
    this.draw();
  }

  go(frame: number): void {
    this.frame = frame;
    this.canvas.setAttribute("aria-valuenow", String(frame));
    this.draw();
  }

  close(): void {
    this.watcher.disconnect();
    this.scheme.removeEventListener("change", this.draw);
  }

  private at(event: PointerEvent): number {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.min(this.project.count - 1, Math.max(0, Math.floor(share * this.project.count)));
  }

  private confidence(context: CanvasRenderingContext2D, x: (frame: number) => number): void {
    const shown = this.project.objects.slice(0, 6);
    shown.forEach((thing, row) => {
      const values = this.sure.confidence[String(thing.id)] ?? [];
      const top = TOP + 14 + row * ROW;
      const [red, green, blue] = thing.colour;
      this.sure.frames.forEach((frame, i) => {
        const value = values[i] ?? null;
        if (value === null) return;
        const tall = value < 0 ? 0 : Math.max(1, (ROW - 2) * value);
        context.fillStyle = value < 0 ? "rgb(220 60 60 / .8)" : `rgb(${red} ${green} ${blue} / .9)`;
        const high = value < 0 ? 2 : tall;
        context.fillRect(x(frame), top + (ROW - 2) - high, Math.max(1, x(frame + 1) - x(frame)), high);
      });
    });
  }

  private ticks(context: CanvasRenderingContext2D, x: (frame: number) => number, width: number, fill: string): void {
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
    const step = steps.find((each) => (each / this.project.count) * width > 64) ?? 100000;
    context.fillStyle = fill;
    context.font = "10px system-ui, sans-serif";
    for (let frame = 0; frame < this.project.count; frame += step) {
      context.fillText(String(frame), Math.min(x(frame) + 2, width - 30), 9);
      context.fillRect(x(frame), 2, 1, 8);
    }
  }
}
