// One learning: how far it is, its loss, and what the network groups before and now.

import { button, clear, clock, h, toast } from "./dom";
import { confirm_ } from "./keys";
import { Curve } from "./curve";
import * as server from "./server";

const STATES: Record<string, string> = { done: "Learned", running: "Learning", waiting: "Waiting for its turn", stopped: "Stopped" };
const STAGES: Record<string, string> = { "decoding videos": "Reading the videos", "pseudo masks": "Drawing clusters" };

export class LearningCard {
  readonly element = h("li", { class: "learning" });
  private readonly curve = new Curve();
  private readonly state = h("span", { class: "state" });
  private readonly told = h("p", { class: "soft", role: "status" });
  private readonly bar = h("progress", { "aria-label": "Steps" });
  private readonly acts = h("div", { class: "acts" });
  private readonly sheets = h("div", { class: "sheets" });
  private points: server.Point[] = [];
  private shown = "";

  constructor(
    private learning: server.Learning,
    private readonly gone: () => void,
  ) {
    this.element.dataset["learning"] = learning.id;
    const videos = learning.videos.join(", ");
    this.element.append(
      h("div", { class: "head" }, h("h3", {}, learning.name), this.state, h("span", { class: "grow" }), this.acts),
      h("p", { class: "soft", title: videos }, `${learning.videos.length} video${learning.videos.length === 1 ? "" : "s"} · ${learning.steps} steps · ${new Date(learning.made).toLocaleString()}`),
      this.bar,
      this.told,
      this.curve.canvas,
      this.sheets,
    );
    this.show();
    void this.fetch();
  }

  close(): void {
    this.curve.close();
  }

  // A step was made, or it ended.
  heard(job: server.Job): void {
    const live = job.state === "running" || job.state === "waiting";
    const { loss } = job.numbers;
    if (live && loss !== undefined && job.done > (this.points.at(-1)?.step ?? 0)) {
      this.points.push({ step: job.done, loss });
      this.curve.take(this.points, this.learning.steps);
    }
    this.learning = { ...this.learning, job: live ? job : null, state: live ? (job.state as "running") : this.learning.state, error: job.error };
    this.show();
    if (!live || job.stage !== this.shown || job.done % 20 === 0) void this.fetch();
    this.shown = job.stage;
  }

  async fetch(): Promise<void> {
    try {
      const found = await server.learning(this.learning.id);
      this.learning = found;
      this.points = found.curve;
      this.curve.take(found.curve, found.steps);
      this.picture(found.pictures);
      this.show();
    } catch (error) {
      if (!(error instanceof TypeError)) toast((error as Error).message, "error");
    }
  }

  private show(): void {
    const { state, job, error, steps } = this.learning;
    this.element.dataset["state"] = state;
    this.state.textContent = STATES[state] ?? state;
    this.state.className = `state ${state}`;
    this.bar.hidden = job === null;
    this.bar.max = job?.total || steps;
    this.bar.value = job?.done ?? 0;
    const last = this.points.at(-1);
    const at = job && job.state === "running" ? this.progress(job) : "";
    const ended = state === "stopped" ? error || `After ${last?.step ?? 0} of ${steps} steps; a checkpoint is kept.` : "";
    const ready = state === "done" ? "Choose it under Weights in any project, and compare." : "";
    this.told.textContent = at || ended || ready;
    this.told.hidden = !this.told.textContent;
    this.curve.canvas.hidden = !this.points.length;
    this.buttons();
  }

  private progress(job: server.Job): string {
    const { loss } = job.numbers;
    const what = STAGES[job.stage] ?? (loss === undefined ? "Loading the model" : "");
    const count = job.total ? `${job.done} of ${job.total}` : "";
    const parts = loss === undefined ? [what, job.stage ? count : ""] : [`Step ${count}`, `loss ${loss.toFixed(3)}`];
    if (job.seconds_left) parts.push(`${clock(job.seconds_left)} left`);
    return parts.filter(Boolean).join(" · ");
  }

  // Buttons stay while nothing about them changes: one that is replaced while it is pressed is never clicked.
  private buttons(): void {
    const { id, state, name, job } = this.learning;
    const key = `${state} ${job?.id ?? ""}`;
    if (this.acts.dataset["for"] === key) return;
    this.acts.dataset["for"] = key;
    const act = (label: string, press: () => Promise<unknown>) =>
      h("button", { type: "button", class: "button", onclick: () => void this.ask(press) }, label);
    clear(
      this.acts,
      job && act("Stop", () => server.cancel(job.id)),
      state === "stopped" && act("Go on", () => server.goOnLearning(id)),
      !job && button("trash", `Remove ${name}`, () => void this.remove()),
    );
  }

  private async ask(press: () => Promise<unknown>): Promise<void> {
    try {
      await press();
      await this.fetch();
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }

  private async remove(): Promise<void> {
    const { id, name } = this.learning;
    if (!(await confirm_(`Remove ${name}?`, "Its weights go with it. Masks that were tracked with them stay.", "Remove"))) return;
    try {
      await server.removeLearning(id);
    } catch (error) {
      toast((error as Error).message, "error");
    }
    this.gone();
  }

  private picture(names: string[]): void {
    const chosen = [...new Set([names[0], names.at(-1)])].filter((name): name is string => Boolean(name));
    if (this.sheets.dataset["for"] === chosen.join()) return;
    this.sheets.dataset["for"] = chosen.join();
    const sheet = (name: string) => {
      const step = Number(name.slice(0, 6));
      const label = step ? `After ${step} steps` : "Before";
      const src = server.pictureUrl(this.learning.id, name);
      return h("figure", {}, h("figcaption", { class: "soft" }, label), h("img", { src, alt: `Frames above what the network groups. ${label}.` }));
    };
    clear(this.sheets, ...chosen.map(sheet));
  }
}
