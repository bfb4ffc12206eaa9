// Strokes on their way to the server, one after the other.

import { h, toast } from "./dom";
import type { Mask } from "./mask";
import * as server from "./server";

export class Saving {
  readonly element = h("span", { class: "saved", role: "status" }, "Saved");
  private queue: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(
    private readonly project: string,
    private readonly kept: (project: server.Project, frame: number) => void,
  ) {
    window.addEventListener("beforeunload", this.leaving);
  }

  // Whether there are strokes that the server does not have yet.
  get busy(): boolean {
    return this.waiting > 0;
  }

  // Until all strokes so far are with the server.
  done(): Promise<unknown> {
    return this.queue;
  }

  // The whole mask is sent after every stroke: what one sees is what is kept.
  keep(frame: number, mask: Mask): void {
    this.waiting += 1;
    this.element.textContent = "Saving …";
    this.queue = this.queue
      .then(() => server.draw(this.project, frame, mask, () => (this.element.textContent = "Waiting for the server …")))
      .then(
        (project) => {
          this.waiting -= 1;
          this.kept(project, frame);
          if (!this.waiting) this.element.textContent = "Saved";
        },
        (error: Error) => {
          this.waiting -= 1;
          this.element.textContent = "Not saved";
          toast(`not saved: ${error.message}`, "error");
        },
      );
  }

  close(): void {
    window.removeEventListener("beforeunload", this.leaving);
  }

  // What the server does not have yet is not thrown away without a word.
  private readonly leaving = (event: BeforeUnloadEvent) => {
    if (this.busy) event.preventDefault();
  };
}
