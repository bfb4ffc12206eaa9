// Plays a video at its own rate; frames that come too late are left out.

import { button, icon } from "./dom";

export interface Film {
  count: number;
  fps: number;
  // The frame that is shown, and the one that is asked for.
  shown(): number;
  wanted(): number;
  go(frame: number): void;
}

export class Player {
  readonly element = button("play", "Play", () => this.toggle());
  private beat = 0;

  constructor(private readonly film: Film) {}

  get playing(): boolean {
    return this.beat !== 0;
  }

  toggle(): void {
    if (this.playing) this.stop();
    else this.begin();
    this.show();
  }

  stop(): void {
    cancelAnimationFrame(this.beat);
    this.beat = 0;
  }

  private begin(): void {
    const { film } = this;
    const began = performance.now();
    const from = film.shown() >= film.count - 1 ? 0 : film.shown();
    const beat = (now: number) => {
      const due = from + Math.floor(((now - began) / 1000) * film.fps);
      if (due > film.wanted() && film.wanted() === film.shown()) film.go(due);
      if (due >= film.count - 1) {
        this.stop();
        this.show();
      } else this.beat = requestAnimationFrame(beat);
    };
    if (from !== film.shown()) film.go(from);
    this.beat = requestAnimationFrame(beat);
  }

  private show(): void {
    const label = this.playing ? "Pause" : "Play";
    this.element.replaceChildren(icon(this.playing ? "pause" : "play"));
    this.element.title = label;
    this.element.setAttribute("aria-label", label);
  }
}
