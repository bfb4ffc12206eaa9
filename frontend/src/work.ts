// Jobs of a project: how far they are, how long they take, and a button that stops them.

import { button, clock, h, toast } from "./dom";
import * as server from "./server";

const ENDED = new Set(["done", "failed", "cancelled"]);
const DOING: Record<string, string> = { track: "Tracking", matches: "Looking" };
type Row = { box: HTMLElement; text: HTMLElement; bar: HTMLProgressElement };

export class Work {
  private readonly box = h("input", { type: "checkbox", id: "follow", checked: true });
  private readonly watching = h("label", { for: "follow", class: "watching", hidden: true }, this.box, "Show each new frame");
  readonly element = h("div", { class: "work" }, this.watching);
  private readonly jobs = new Map<string, server.Job>();
  private readonly rows = new Map<string, Row>();
  private readonly waiting = new Map<string, (job: server.Job) => void>();

  constructor(
    private readonly project: string,
    private readonly tracked: () => void,
  ) {
    void server.jobs().then((jobs) => jobs.forEach((job) => this.heard(job)));
  }

  // Whether each frame is shown as it is tracked.
  get following(): boolean {
    return this.box.checked;
  }

  set following(yes: boolean) {
    this.box.checked = yes;
  }

  get live(): server.Job[] {
    return [...this.jobs.values()].filter((job) => !ENDED.has(job.state));
  }

  stopTracking(): void {
    for (const job of this.live) if (job.state === "running" && job.kind === "track") void server.cancel(job.id);
  }

  ended(id: string): Promise<server.Job> {
    const job = this.jobs.get(id);
    if (job && ENDED.has(job.state)) return Promise.resolve(job);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  heard(job: server.Job): void {
    if (job.project !== this.project) return;
    const before = this.jobs.get(job.id);
    if (before && ENDED.has(before.state)) return;
    this.jobs.set(job.id, job);
    if (ENDED.has(job.state)) {
      this.waiting.get(job.id)?.(job);
      this.waiting.delete(job.id);
      if (before && job.state === "failed") toast(job.error, "error");
      if (before && job.kind === "track") this.tracked();
    }
    this.show();
  }

  private show(): void {
    const { live } = this;
    for (const [id, row] of this.rows) {
      if (live.some((job) => job.id === id)) continue;
      row.box.remove();
      this.rows.delete(id);
    }
    for (const job of live) this.showJob(job);
    this.watching.hidden = !live.some((job) => job.kind === "track");
  }

  // Rows stay the same elements: a button that is replaced while it is pressed is never clicked.
  private showJob(job: server.Job): void {
    let row = this.rows.get(job.id);
    if (!row) {
      const [text, bar] = [h("span"), h("progress", { "aria-label": "Progress" })];
      row = { text, bar, box: h("div", { class: "job" }, text, bar, button("stop", "Stop", () => void server.cancel(job.id))) };
      this.rows.set(job.id, row);
      this.watching.before(row.box);
    }
    row.text.textContent =
      job.state === "waiting"
        ? "Waiting for its turn"
        : `${DOING[job.kind] ?? "Writing"} ${job.done}${job.total ? ` of ${job.total}` : ""}` +
          (job.seconds_left ? ` · ${clock(job.seconds_left)} left` : "");
    row.bar.max = job.total || 1;
    row.bar.value = job.done;
  }
}
