// Frames that want a look: those in which the track is not sure of an object.

import { clear, h, toast } from "./dom";
import type { Timeline } from "./server";

const DOUBT = 0.6;
const SHOWN = 60;

export class Review {
  readonly element = h("div", { class: "doubts" });
  private doubtful: number[] = [];

  constructor(private readonly go: (frame: number) => void) {}

  take({ frames, confidence }: Timeline): void {
    this.doubtful = frames.filter((_, i) => Object.values(confidence).some((values) => (values[i] ?? 1) < DOUBT));
    const count = this.doubtful.length;
    const told = count
      ? `${count} doubtful frame${count === 1 ? "" : "s"}: N steps through`
      : frames.length
        ? "No doubtful frame."
        : "Frames that need a look are listed here.";
    const chips = this.doubtful
      .slice(0, SHOWN)
      .map((frame) => h("button", { type: "button", class: "chip", onclick: () => this.go(frame) }, String(frame)));
    clear(this.element, h("p", { class: "soft" }, told), ...chips);
  }

  step(from: number, way: 1 | -1): void {
    const frames = way > 0 ? this.doubtful : [...this.doubtful].reverse();
    const next = frames.find((frame) => (frame - from) * way > 0);
    if (next === undefined) toast("no doubtful frame in this direction");
    else this.go(next);
  }
}
