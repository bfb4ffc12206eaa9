// The screen to learn on: choose videos, begin, watch; what was learned before stands below.

import { browser } from "./browser";
import { button, clear, h, icon, toast } from "./dom";
import { LearningCard } from "./learning";
import * as server from "./server";

const STEPS = 60;

export class Learn {
  private readonly cards = new Map<string, LearningCard>();
  private readonly list = h("ul", { class: "learnings", "aria-label": "Learnings" });
  private readonly picked = new Map<string, string>();
  private readonly chips = h("ul", { class: "picked", "aria-label": "Videos chosen from this machine" });
  private readonly steps = h("input", { type: "number", id: "steps", min: "1", max: "100000", value: String(STEPS), required: true });
  private readonly begin = h("button", { type: "submit", class: "button primary" }, "Learn");
  private readonly boxes: HTMLInputElement[] = [];

  constructor(
    root: HTMLElement,
    facts: server.About,
    projects: server.Summary[],
    home: () => void,
  ) {
    const form = h(
      "form",
      { class: "choose" },
      h("h2", {}, "Learn from"),
      this.projects(projects),
      browser(facts.root, "Or videos of this machine", (entry) => this.pick(entry.path, entry.name)),
      this.chips,
      h("div", { class: "field" }, h("label", { for: "steps" }, "Steps"), this.steps, h("span", { class: "soft" }, "about 2 s each on two cores")),
      this.begin,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.start();
    });
    clear(
      root,
      h("header", { class: "bar" }, button("home", "All projects", home), h("h1", {}, "Learn")),
      h("main", { class: "learn" }, h("div", {}, note(), form), h("section", {}, h("h2", {}, "Learned here"), this.list)),
    );
    this.ready();
    void this.fetch();
  }

  heard(event: server.Event_): void {
    if (event.kind === "behind") void this.refresh();
    else if (event.kind === "job" && event.job.kind === "learn") {
      const card = this.cards.get(event.job.project);
      if (card) card.heard(event.job);
      else void this.fetch();
    }
  }

  async refresh(): Promise<void> {
    await Promise.all([...this.cards.values()].map((card) => card.fetch()));
  }

  close(): void {
    for (const card of this.cards.values()) card.close();
  }

  private projects(found: server.Summary[]): HTMLElement {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("project");
    const usable = found.filter((one) => !one.error);
    if (!usable.length) return h("p", { class: "soft" }, "No project yet: choose a video below.");
    const rows = usable.map((one) => {
      const box = h("input", { type: "checkbox", value: one.id, checked: one.id === wanted });
      box.addEventListener("change", () => this.ready());
      this.boxes.push(box);
      return h(
        "li",
        {},
        h("label", {}, box, h("img", { src: server.frameUrl(one.id, 0, 160), alt: "", loading: "lazy" }), h("span", {}, one.name), h("span", { class: "soft" }, `${one.frames} frames`)),
      );
    });
    return h("ul", { class: "ticks", "aria-label": "Projects" }, ...rows);
  }

  private pick(path: string, name: string): void {
    this.picked.set(path, name);
    this.ready();
  }

  // What is chosen, and whether it is enough to begin with.
  private ready(): void {
    clear(
      this.chips,
      ...[...this.picked].map(([path, name]) =>
        h(
          "li",
          { class: "chip" },
          name,
          button("close", `Leave out ${name}`, () => {
            this.picked.delete(path);
            this.ready();
          }),
        ),
      ),
    );
    const count = this.picked.size + this.boxes.filter((box) => box.checked).length;
    this.begin.disabled = !count;
    this.begin.textContent = count ? `Learn from ${count} video${count === 1 ? "" : "s"}` : "Choose a video to learn from";
  }

  private async start(): Promise<void> {
    const projects = this.boxes.filter((box) => box.checked).map((box) => box.value);
    this.begin.disabled = true;
    try {
      await server.learn({ projects, paths: [...this.picked.keys()], steps: this.steps.valueAsNumber });
      await this.fetch();
      this.list.scrollIntoView({ block: "nearest" });
    } catch (error) {
      toast((error as Error).message, "error");
    }
    this.ready();
  }

  private async fetch(): Promise<void> {
    const found = await server.learnings();
    for (const learning of found) {
      if (this.cards.has(learning.id)) continue;
      this.cards.set(learning.id, new LearningCard(learning, () => this.forget(learning.id)));
    }
    const order = found.map((one) => this.cards.get(one.id)?.element).filter((one) => one !== undefined);
    // Cards that are in their places stay there: one that moves loses what is pressed or read in it.
    if (order.length !== this.list.childElementCount || order.some((one, i) => one !== this.list.children[i])) {
      clear(this.list, ...(order.length ? order : [nothing()]));
    }
  }

  private forget(id: string): void {
    this.cards.get(id)?.close();
    this.cards.delete(id);
    void this.fetch();
  }
}

function note(): HTMLElement {
  return h(
    "section",
    { class: "advice" },
    icon("help"),
    h(
      "div",
      {},
      h("h2", {}, "For videos in which tracking loses the object"),
      h(
        "p",
        {},
        "The network goes on learning from your own videos, without masks. Where the weights that ship follow an object well already it makes them slightly worse: " +
          "82.2 became 81.1, the mean of five videos. With earlier weights, the one video that they followed poorly gained 5 points. So try it there, track again with both, and keep the better.",
      ),
    ),
  );
}

const nothing = () =>
  h("li", { class: "soft empty" }, "Nothing yet. Choose the video that gives you trouble, and press Learn: a minute or two later there are weights to try.");
