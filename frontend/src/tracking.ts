// What is tracked, with which weights and how well: buttons, and what they ask the server for.

import { h, icon, toast } from "./dom";
import { askNumber } from "./keys";
import * as server from "./server";

export interface Place {
  frame(): number;
  project(): server.Project;
  // Ask for a job once all strokes are with the server.
  ask(make: () => Promise<server.Job>): Promise<void>;
}

export class Tracking {
  private speeds: Record<string, number> = {};
  private readonly speed = h("p", { class: "soft hint" });
  private readonly quality = h(
    "select",
    { id: "quality" },
    ...["fast", "balanced", "best"].map((name) => h("option", { value: name, selected: name === "balanced" }, name)),
  );
  private readonly weights = h("select", { id: "weights" });
  // Hidden while there is nothing to choose.
  private readonly learned = h("div", { class: "field", hidden: true }, h("label", { for: "weights" }, "Weights"), this.weights);
  readonly elements: HTMLElement[];

  constructor(private readonly place: Place) {
    this.quality.addEventListener("change", () => this.tell());
    this.elements = [
      h(
        "div",
        { class: "row" },
        act("backward", "Backward", "Track: backward", () => void this.until(0)),
        act("forward", "Forward", "Track: forward", () => void this.until(this.last)),
      ),
      h(
        "div",
        { class: "row" },
        act("both", "Between", "Fill the frames between the two drawings around this frame", () => void this.between()),
        act("next", "Until …", "Track: until …", () => void this.untilAsked()),
      ),
      h("div", { class: "field" }, h("label", { for: "quality" }, "Quality"), this.quality),
      this.speed,
      this.learned,
    ];
    void this.measure();
    void this.offer();
  }

  // Seconds a frame are known once a quality was used.
  async measure(): Promise<void> {
    this.speeds = (await server.about()).speeds;
    this.tell();
  }

  get last(): number {
    return this.place.project().count - 1;
  }

  async until(end: number): Promise<void> {
    const { id } = this.place.project();
    const start = this.place.frame();
    if (end === start) toast(end ? "this is the last frame" : "this is the first frame");
    else await this.place.ask(() => server.track(id, this.wanted(start, end)));
  }

  async untilAsked(): Promise<void> {
    const label = `Frame to stop at, 0 to ${this.last}; one before this frame (${this.place.frame()}) tracks backward`;
    const end = await askNumber("Track until", label, { least: 0, most: this.last, value: this.last, verb: "Track" });
    if (end !== null) await this.until(end);
  }

  async between(): Promise<void> {
    const { id, keyframes } = this.place.project();
    const here = Math.min(this.place.frame(), (keyframes.at(-1) ?? 0) - 1);
    const start = keyframes.filter((frame) => frame <= here).at(-1);
    const end = keyframes.find((frame) => frame > here);
    if (start === undefined || end === undefined) toast("draw on two frames and go to one between them");
    else await this.place.ask(() => server.fill(id, this.wanted(start, end)));
  }

  // How a person wants it tracked.
  get way(): { quality: string; weights: string } {
    return { quality: this.quality.value, weights: this.weights.value };
  }

  private wanted(start: number, end: number): server.Wanted {
    return { start, end, ...this.way };
  }

  // The weights that were learned here, beside those that the server was started with.
  private async offer(): Promise<void> {
    const learned = (await server.learnings()).filter((one) => one.state === "done");
    const name = (path: string) => path.split(/[\\/]/).pop() ?? path;
    const options = learned.map((one) => h("option", { value: one.id }, `Learned: ${one.name}`));
    this.weights.replaceChildren(h("option", { value: "" }, name((await server.about()).weights)), ...options);
    this.learned.hidden = !learned.length;
  }

  private tell(): void {
    const seconds = this.speeds[this.quality.value];
    this.speed.textContent = seconds ? `${seconds.toFixed(2)} s a frame on this machine` : "How fast it is here is measured when it is first used.";
  }
}

function act(name: string, label: string, title: string, press: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "button", title, onclick: press }, icon(name), label);
}
