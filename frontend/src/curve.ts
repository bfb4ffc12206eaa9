// The loss of a learning, step by step, as a line; a smooth one over the raw one, which jumps.

import { h } from "./dom";
import type { Point } from "./server";

const PAD = { left: 40, right: 10, top: 10, bottom: 20 };
const SMOOTHING = 0.85;

export class Curve {
  readonly canvas = h("canvas", { class: "curve", role: "img", "aria-label": "Loss by step" });
  private points: Point[] = [];
  private steps = 1;
  private readonly watcher = new ResizeObserver(() => this.draw());
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");

  constructor() {
    this.watcher.observe(this.canvas);
    this.scheme.addEventListener("change", this.draw);
  }

  take(points: Point[], steps: number): void {
    [this.points, this.steps] = [points, steps];
    const last = points.at(-1);
    this.canvas.setAttribute("aria-label", last ? `Loss by step: ${last.loss.toFixed(3)} at step ${last.step} of ${steps}` : "Loss by step: none yet");
    this.draw();
  }

  close(): void {
    this.watcher.disconnect();
    this.scheme.removeEventListener("change", this.draw);
  }

  private readonly draw = (): void => {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const context = canvas.getContext("2d") as CanvasRenderingContext2D;
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const losses = this.points.map((point) => point.loss);
    const low = losses.length ? Math.min(...losses) : 0;
    const span = (losses.length ? Math.max(...losses) : 1) - low || 1;
    const x = (step: number) => PAD.left + (step / Math.max(1, this.steps)) * (width - PAD.left - PAD.right);
    const y = (loss: number) => PAD.top + (1 - (loss - low) / span) * (height - PAD.top - PAD.bottom);
    this.grid(context, { width, height, x, y, low, span, line: colour("--line"), text: colour("--soft") });
    const stroke = (points: Point[], paint: string, wide: number) => {
      context.beginPath();
      points.forEach((point, i) => (i ? context.lineTo(x(point.step), y(point.loss)) : context.moveTo(x(point.step), y(point.loss))));
      context.strokeStyle = paint;
      context.lineWidth = wide;
      context.lineJoin = "round";
      context.stroke();
    };
    context.globalAlpha = 0.35;
    stroke(this.points, colour("--accent"), 1);
    context.globalAlpha = 1;
    stroke(smooth(this.points), colour("--accent-strong"), 2);
  };

  private grid(context: CanvasRenderingContext2D, at: Axes): void {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = at.text;
    context.strokeStyle = at.line;
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      const loss = at.low + share * at.span;
      const row = Math.round(at.y(loss)) + 0.5;
      context.beginPath();
      context.moveTo(PAD.left, row);
      context.lineTo(at.width - PAD.right, row);
      context.stroke();
      context.textAlign = "right";
      if (this.points.length) context.fillText(loss.toFixed(2), PAD.left - 6, row + 3.5);
    }
    context.textAlign = "left";
    context.fillText("0", PAD.left, at.height - 5);
    context.textAlign = "right";
    context.fillText(`step ${this.steps}`, at.width - PAD.right, at.height - 5);
  }
}

interface Axes {
  width: number;
  height: number;
  x: (step: number) => number;
  y: (loss: number) => number;
  low: number;
  span: number;
  line: string;
  text: string;
}

function smooth(points: Point[]): Point[] {
  let mean = points[0]?.loss ?? 0;
  return points.map(({ step, loss }) => {
    mean = SMOOTHING * mean + (1 - SMOOTHING) * loss;
    return { step, loss: mean };
  });
}
