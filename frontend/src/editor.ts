// One project: draw, track, look, correct.

import { button, clear, clock, h, icon, toast } from "./dom";
import { exporting } from "./exporting";
import { askNumber, bind, help, type Key } from "./keys";
import { type Mask, polygon } from "./mask";
import { Picture } from "./picture";
import * as server from "./server";
import { Track } from "./timeline";
import { Pen, TOOLS, type Tool } from "./tools";

const DOUBT = 0.6;
const WIDTHS = [480, 960, 1920, 3840];

export class Editor {
  private readonly picture: Picture;
  private readonly pen: Pen;
  private readonly track: Track;
  private readonly unbind: () => void;
  private frame = 0;
  private object = 0;
  private state = "empty";
  private loading = false;
  private closed = false;
  private outdated = false;
  private wanted = -1;
  private playing = 0;
  private following = true;
  private saving: Promise<unknown> = Promise.resolve();
  private unsaved = 0;
  private jobs = new Map<string, server.Job>();
  private waiting = new Map<string, (job: server.Job) => void>();
  private timelineTimer = 0;
  private addressTimer = 0;
  private quality = "balanced";
  private speeds: Record<string, number> = {};
  private readonly images = new Map<string, Promise<ImageBitmap>>();
  private readonly at = h("output", { class: "at", "aria-live": "off" });
  private readonly things = h("ul", { class: "things", "aria-label": "Objects" });
  private readonly doubts = h("div", { class: "doubts" });
  private readonly rows = new Map<string, { box: HTMLElement; text: HTMLElement; bar: HTMLProgressElement }>();
  private readonly follow_ = h("input", { type: "checkbox", id: "follow", checked: true });
  private readonly watching = h("label", { for: "follow", class: "watching", hidden: true }, this.follow_, "Show each new frame");
  private readonly work = h("div", { class: "work" }, this.watching);
  private readonly note = h("p", { class: "note" });
  private readonly tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Tools" });
  private readonly speed = h("p", { class: "soft hint" });
  private readonly play_ = button("play", "Play", () => this.play());
  private readonly undo_ = button("undo", "Undo", () => void this.change(() => server.undo(this.project.id)));
  private readonly redo_ = button("redo", "Redo", () => void this.change(() => server.redo(this.project.id)));
  private readonly zoom = h("output", { class: "zoom soft", "aria-label": "Zoom" });
  private readonly saved = h("span", { class: "saved", role: "status" }, "Saved");

  constructor(
    private readonly root: HTMLElement,
    private project: server.Project,
    home: () => void,
  ) {
    const canvas = h("canvas", { class: "picture", tabindex: "0", "aria-label": "Frame with masks; draw here" });
    const line = h("canvas", { class: "timeline" });
    this.lay(canvas, line, home);
    this.picture = new Picture(canvas, project.width, project.height);
    this.pen = new Pen({
      picture: this.picture,
      object: () => this.object,
      may: () => this.mayDraw(),
      done: () => this.keep(),
      dropped: () => this.go(this.frame, true),
      outlined: (points) => void this.outlined(points),
    });
    this.track = new Track(line, project, (frame) => this.go(frame));
    this.unbind = bind(this.keys());
    window.addEventListener("beforeunload", this.leaving);
    const place = new URLSearchParams(location.hash.slice(1));
    this.object = project.objects[0]?.id ?? 0;
    const zoom = Number(place.get("zoom"));
    if (zoom > 0) this.picture.look(zoom, Number(place.get("x")), Number(place.get("y")));
    this.picture.viewed = () => this.remember();
    this.follow_.addEventListener("change", () => (this.following = this.follow_.checked));
    this.choose("brush");
    this.take(project);
    this.go(Math.min(project.count - 1, Math.max(0, Number(place.get("frame") ?? 0))));
    void this.sure();
    void server.about().then((facts) => {
      this.speeds = facts.speeds;
      this.tellSpeed();
    });
    void server.jobs().then((jobs) => jobs.forEach((job) => this.heardJob(job)));
  }

  close(): void {
    this.unbind();
    this.closed = true;
    this.track.close();
    window.removeEventListener("beforeunload", this.leaving);
    cancelAnimationFrame(this.playing);
  }

  // Something happened: here, in another tab, or in the process that tracks.
  heard(event: server.Event_): void {
    if (event.kind === "behind") void this.refresh();
    else if (event.kind === "job") this.heardJob(event.job);
    else if (event.project !== this.project.id) return;
    else if (event.kind === "changed" && event.revision !== this.project.revision) void this.refresh();
    else if (event.kind === "frame") this.heardFrame(event.index);
  }

  async refresh(): Promise<void> {
    try {
      this.take(await server.project(this.project.id));
    } catch (error) {
      this.told(error);
      return;
    }
    this.go(this.wanted, true);
    void this.sure();
  }

  // That the server cannot be reached is told once, by who listens to it; all is asked for again when it is back.
  private told(error: unknown): void {
    if (!this.closed && !(error instanceof TypeError)) toast((error as Error).message, "error");
  }

  // Strokes that the server does not have yet are not thrown away without a word.
  private readonly leaving = (event: BeforeUnloadEvent) => {
    if (this.unsaved) event.preventDefault();
  };

  private lay(canvas: HTMLCanvasElement, line: HTMLCanvasElement, home: () => void): void {
    const quality = h(
      "select",
      { id: "quality" },
      ...["fast", "balanced", "best"].map((name) => h("option", { value: name, selected: name === this.quality }, name)),
    );
    quality.addEventListener("change", () => {
      this.quality = quality.value;
      this.tellSpeed();
    });
    const size = h("input", { type: "range", id: "size", min: "1", max: "80", value: "12" });
    size.addEventListener("input", () => {
      this.pen.radius = Number(size.value);
      this.picture.ask();
    });
    clear(
      this.root,
      h(
        "header",
        { class: "bar" },
        button("home", "All projects", home),
        h("h1", {}, this.project.name),
        this.saved,
        h("span", { class: "grow" }),
        this.undo_,
        this.redo_,
        this.zoom,
        button("fit", "Show all of the picture", () => this.picture.fit()),
        button("help", "Keys", () => help(this.keys())),
        h("button", { type: "button", class: "button primary", onclick: () => void exporting(this.project.id, (id) => this.ended(id)) }, icon("export"), "Export"),
      ),
      h(
        "main",
        { class: "editor" },
        this.tools,
        h("div", { class: "stage" }, canvas, this.note),
        h(
          "aside",
          { class: "panel", "aria-label": "Objects and tracking" },
          h("div", { class: "head" }, h("h2", {}, "Objects"), button("plus", "Add an object", () => void this.add())),
          this.things,
          h("div", { class: "field" }, h("label", { for: "size" }, "Brush size"), size),
          h("h2", {}, "Track"),
          h(
            "div",
            { class: "row" },
            this.labelled("backward", "Backward", () => void this.follow(0)),
            this.labelled("forward", "Forward", () => void this.follow(this.project.count - 1)),
          ),
          h(
            "div",
            { class: "row" },
            this.labelled("both", "Between", () => void this.between()),
            this.labelled("next", "Until …", () => void this.until()),
          ),
          h("div", { class: "field" }, h("label", { for: "quality" }, "Quality"), quality),
          this.speed,
          this.work,
          h("h2", {}, "Review"),
          this.doubts,
        ),
        h(
          "footer",
          { class: "foot" },
          h(
            "div",
            { class: "row" },
            button("previous", "Previous drawing", () => this.jump(-1)),
            this.play_,
            button("next", "Next drawing", () => this.jump(1)),
            this.at,
            h("span", { class: "grow" }),
            h("button", { type: "button", class: "quiet", onclick: () => void this.erase() }, "Clear drawing"),
          ),
          line,
        ),
      ),
    );
    clear(
      this.tools,
      ...TOOLS.map(([tool, label, key]) =>
        button(tool, `${label} (${key})`, () => this.choose(tool), { "data-tool": tool, "aria-pressed": "false" }),
      ),
    );
  }

  private labelled(name: string, label: string, act: () => void): HTMLButtonElement {
    const title = name === "both" ? "Fill the frames between the two drawings around this frame" : `Track: ${label.toLowerCase()}`;
    return h("button", { type: "button", class: "button", title, onclick: act }, icon(name), label);
  }

  private keys(): Key[] {
    const step = (count: number) => () => this.go(this.wanted + count);
    const move = (x: number, y: number, fine = false) => () => this.pen.step(x, y, fine);
    return [
      { keys: "Space", about: "Play or pause", act: () => this.play() },
      { keys: "ArrowLeft", about: "One frame back", act: step(-1) },
      { keys: "ArrowRight", about: "One frame on", act: step(1) },
      { keys: "Shift+ArrowLeft", about: "Ten frames back", act: step(-10) },
      { keys: "Shift+ArrowRight", about: "Ten frames on", act: step(10) },
      { keys: "Home", about: "First frame", act: () => this.go(0) },
      { keys: "End", about: "Last frame", act: () => this.go(this.project.count - 1) },
      { keys: ",", about: "Previous drawing", act: () => this.jump(-1) },
      { keys: ".", about: "Next drawing", act: () => this.jump(1) },
      { keys: "n", about: "Next doubtful frame", act: () => this.doubt(1) },
      { keys: "m", about: "Previous doubtful frame", act: () => this.doubt(-1) },
      ...TOOLS.map(([tool, label, key]) => ({ keys: key.toLowerCase(), about: label, act: () => this.choose(tool) })),
      { keys: "[", about: "Smaller brush", act: () => this.resize(-1) },
      { keys: "]", about: "Larger brush", act: () => this.resize(1) },
      { keys: "j / k / i / l", about: "Move the pen left, down, up, right; with Shift by one pixel", act: () => undefined },
      ...[["j", -1, 0], ["k", 0, 1], ["i", 0, -1], ["l", 1, 0]].flatMap(([key, x, y]) => [
        { keys: String(key), about: "", act: move(Number(x), Number(y)) },
        { keys: String(key).toUpperCase(), about: "", act: move(Number(x), Number(y), true) },
      ]),
      { keys: "x", about: "Put the pen down, and lift it; set a corner; fill", act: () => this.pen.press() },
      { keys: "Enter", about: "Close the polygon", act: () => this.pen.close() },
      { keys: "Escape", about: "Drop the polygon; stop tracking", act: () => this.escape() },
      { keys: "a", about: "Add an object", act: () => void this.add() },
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ keys: String(n), about: n === 1 ? "1 to 9: choose an object" : "", act: () => this.pick(n - 1) })),
      { keys: "t", about: "Track forward", act: () => void this.follow(this.project.count - 1) },
      { keys: "u", about: "Track until a frame", act: () => void this.until() },
      { keys: "g", about: "Fill between two drawings", act: () => void this.between() },
      { keys: "r", about: "Track backward", act: () => void this.follow(0) },
      { keys: "+", about: "Zoom in", act: () => this.picture.zoomTo(this.picture.zoom * 1.25) },
      { keys: "-", about: "Zoom out", act: () => this.picture.zoomTo(this.picture.zoom / 1.25) },
      { keys: "0", about: "Show all of the picture", act: () => this.picture.fit() },
      { keys: "Ctrl+Z", about: "Undo", act: () => void this.change(() => server.undo(this.project.id)) },
      { keys: "Ctrl+Y / Ctrl+Shift+Z", about: "Redo", act: () => void this.change(() => server.redo(this.project.id)) },
      { keys: "?", about: "This list", act: () => help(this.keys().filter((key) => key.about)) },
    ];
  }

  private take(project: server.Project): void {
    this.project = project;
    if (!project.objects.some((thing) => thing.id === this.object)) this.object = project.objects[0]?.id ?? 0;
    this.picture.colour(project.objects);
    this.track.take(project);
    this.undo_.disabled = !project.undo;
    this.redo_.disabled = !project.redo;
    this.undo_.title = project.undo ? `Undo: ${project.undo}` : "Nothing to undo";
    this.redo_.title = project.redo ? `Redo: ${project.redo}` : "Nothing to redo";
    this.list();
    this.tell();
  }

  private list(): void {
    const rows = this.project.objects.map((thing, place) => {
      const name = h("input", { type: "text", value: thing.name, "aria-label": `Name of object ${thing.id}`, maxlength: "200" });
      name.addEventListener("change", () => void this.change(() => server.changeObject(this.project.id, thing.id, { name: name.value })));
      const colour = h("input", { type: "color", value: hex(thing.colour), "aria-label": `Colour of ${thing.name}` });
      colour.addEventListener("change", () =>
        void this.change(() => server.changeObject(this.project.id, thing.id, { colour: triple(colour.value) })),
      );
      const hidden = this.picture?.hidden.has(thing.id) ?? false;
      const pick = h("input", {
        type: "radio",
        name: "object",
        checked: thing.id === this.object,
        "aria-label": `Draw ${thing.name}${place < 9 ? ` (${place + 1})` : ""}`,
        onchange: () => this.pick(place),
      });
      return h(
        "li",
        { class: thing.id === this.object ? "chosen" : "" },
        pick,
        colour,
        name,
        button(hidden ? "hidden" : "eye", hidden ? `Show ${thing.name}` : `Hide ${thing.name}`, () => this.hide(thing.id)),
        button("trash", `Remove ${thing.name}`, () => void this.change(() => server.removeObject(this.project.id, thing.id))),
      );
    });
    if (!rows.length) rows.push(h("li", { class: "soft" }, "None yet: your first stroke makes one."));
    clear(this.things, ...rows);
  }

  private hide(id: number): void {
    const { hidden } = this.picture;
    if (!hidden.delete(id)) hidden.add(id);
    this.picture.colour(this.project.objects);
    this.list();
  }

  private pick(place: number): void {
    const thing = this.project.objects[place];
    if (!thing) return;
    this.object = thing.id;
    this.list();
  }

  private choose(tool: Tool): void {
    this.pen.choose(tool);
    for (const each of this.tools.querySelectorAll<HTMLElement>("[data-tool]")) {
      each.setAttribute("aria-pressed", String(each.dataset["tool"] === tool));
    }
  }

  private resize(by: number): void {
    const size = this.root.querySelector<HTMLInputElement>("#size");
    if (!size) return;
    size.value = String(Number(size.value) + by * Math.max(1, Math.round(this.pen.radius / 6)));
    size.dispatchEvent(new Event("input"));
  }

  private escape(): void {
    this.pen.stop();
    for (const job of this.jobs.values()) if (job.state === "running" && job.kind === "track") void server.cancel(job.id);
  }

  private async add(): Promise<void> {
    await this.change(() => server.addObject(this.project.id));
    this.pick(this.project.objects.length - 1);
  }

  private mayDraw(): boolean {
    if (this.wanted !== this.frame) return false;
    if (!this.object) {
      // The first stroke of all names the first object.
      this.object = 1;
    }
    return true;
  }

  // The whole mask is sent after every stroke: what one sees is what is kept.
  private keep(): void {
    const { frame } = this;
    const mask: Mask = { ...this.picture.mask, ids: this.picture.mask.ids.slice() };
    this.unsaved += 1;
    this.saved.textContent = "Saving …";
    this.saving = this.saving
      .then(() => server.draw(this.project.id, frame, mask, () => (this.saved.textContent = "Waiting for the server …")))
      .then(
        (project) => {
          this.unsaved -= 1;
          this.state = "drawn";
          this.take(project);
          if (!this.unsaved) this.saved.textContent = "Saved";
        },
        (error: Error) => {
          this.unsaved -= 1;
          this.saved.textContent = "Not saved";
          toast(`not saved: ${error.message}`, "error");
        },
      );
  }

  private async change(make: () => Promise<server.Project>): Promise<void> {
    try {
      await this.saving;
      this.take(await make());
      this.go(this.frame, true);
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }

  private async outlined(points: [number, number][]): Promise<void> {
    const { frame, object } = this;
    const { width, height } = this.picture;
    const rough: Mask = { width, height, ids: new Uint16Array(width * height) };
    polygon(rough, points, { id: object });
    this.note.textContent = "Snapping to edges …";
    try {
      const snapped = await server.outline(this.project.id, frame, object, rough);
      if (frame !== this.frame) return;
      snapped.ids.forEach((id, at) => {
        if (id) this.picture.mask.ids[at] = id;
      });
      this.picture.take(this.picture.mask);
      this.keep();
    } catch (error) {
      toast((error as Error).message, "error");
    } finally {
      this.tell();
    }
  }

  private async erase(): Promise<void> {
    if (this.project.keyframes.includes(this.frame)) await this.change(() => server.erase(this.project.id, this.frame));
    else toast("nothing was drawn on this frame");
  }

  go(frame: number, anew = false): void {
    frame = Math.min(this.project.count - 1, Math.max(0, Math.round(frame)));
    if (frame === this.wanted && !anew) return;
    if (frame !== this.wanted) this.pen.stop();
    this.wanted = frame;
    this.outdated = true;
    this.track.go(frame);
    this.at.textContent = `${frame} / ${this.project.count - 1}  ·  ${(frame / this.project.fps).toFixed(2)} s`;
    this.remember();
    void this.load();
  }

  // One frame is fetched at a time, and after it the one wanted by then: what lies between is never waited for.
  private async load(): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    while (this.outdated && !this.closed) {
      this.outdated = false;
      try {
        await this.saving;
        await this.bring(this.wanted);
      } catch (error) {
        this.told(error);
      }
    }
    this.loading = false;
  }

  private async bring(frame: number): Promise<void> {
    const [image, found] = await Promise.all([this.image(frame), server.mask(this.project.id, frame)]);
    // A stroke that began meanwhile is newer than the mask that came.
    if (this.closed || (frame === this.frame && (this.pen.busy || this.unsaved))) return;
    this.frame = frame;
    this.state = found.state;
    this.picture.canvas.dataset["frame"] = String(frame);
    this.picture.show(image);
    this.picture.take(found.mask);
    this.tell();
    if (frame + 1 < this.project.count) void this.image(frame + 1).catch(() => undefined);
  }

  private image(frame: number): Promise<ImageBitmap> {
    const shown = this.picture.canvas.clientWidth * (window.devicePixelRatio || 1);
    const width = WIDTHS.find((each) => each >= Math.min(shown, this.project.width)) ?? 3840;
    const url = server.frameUrl(this.project.id, frame, width);
    let image = this.images.get(url);
    if (!image) {
      image = fetch(url).then(async (answer) => {
        if (!answer.ok) throw new Error(((await answer.json()) as { error: string }).error);
        return createImageBitmap(await answer.blob());
      });
      image.catch(() => this.images.delete(url));
      this.images.set(url, image);
      const [oldest] = this.images.keys();
      if (this.images.size > 48 && oldest) {
        void this.images.get(oldest)?.then((bitmap) => bitmap.close());
        this.images.delete(oldest);
      }
    }
    return image;
  }

  // The address says where one is. Browsers bear only so many changes of it a second.
  private remember(): void {
    clearTimeout(this.addressTimer);
    this.zoom.textContent = `${Math.round(this.picture.zoom * 100)} %`;
    this.addressTimer = window.setTimeout(() => {
      if (this.closed) return;
      const [x, y] = this.picture.middle();
      const view = this.picture.fitted ? "" : `&zoom=${+this.picture.zoom.toFixed(3)}&x=${x.toFixed(1)}&y=${y.toFixed(1)}`;
      history.replaceState(null, "", `#frame=${this.wanted}${view}`);
    }, 250);
  }

  private play(): void {
    if (this.playing) {
      cancelAnimationFrame(this.playing);
      this.playing = 0;
    } else {
      const begin = performance.now();
      const from = this.frame >= this.project.count - 1 ? 0 : this.frame;
      const beat = (now: number) => {
        const due = from + Math.floor(((now - begin) / 1000) * this.project.fps);
        if (due > this.wanted && this.wanted === this.frame) this.go(due);
        if (due >= this.project.count - 1) {
          this.playing = 0;
          this.showPlay();
        } else this.playing = requestAnimationFrame(beat);
      };
      if (from !== this.frame) this.go(from);
      this.playing = requestAnimationFrame(beat);
    }
    this.showPlay();
  }

  private showPlay(): void {
    const label = this.playing ? "Pause" : "Play";
    this.play_.replaceChildren(icon(this.playing ? "pause" : "play"));
    this.play_.title = label;
    this.play_.setAttribute("aria-label", label);
  }

  private jump(way: 1 | -1): void {
    const drawn = way > 0 ? this.project.keyframes : [...this.project.keyframes].reverse();
    const next = drawn.find((frame) => (frame - this.frame) * way > 0);
    if (next === undefined) toast(way > 0 ? "no later drawing" : "no earlier drawing");
    else this.go(next);
  }

  private async follow(end: number): Promise<void> {
    if (end === this.frame) {
      toast(end ? "this is the last frame" : "this is the first frame");
      return;
    }
    await this.ask(() => server.track(this.project.id, this.frame, end, this.quality));
  }

  private async until(): Promise<void> {
    const last = this.project.count - 1;
    const end = await askNumber("Track until", `Frame to stop at, 0 to ${last}; one before this frame (${this.frame}) tracks backward`, {
      least: 0,
      most: last,
      value: last,
      verb: "Track",
    });
    if (end !== null) await this.follow(end);
  }

  private async between(): Promise<void> {
    const { keyframes } = this.project;
    const here = Math.min(this.frame, (keyframes.at(-1) ?? 0) - 1);
    const before = keyframes.filter((frame) => frame <= here).at(-1);
    const after = keyframes.find((frame) => frame > here);
    if (before === undefined || after === undefined) toast("draw on two frames and go to one between them");
    else await this.ask(() => server.fill(this.project.id, before, after, this.quality));
  }

  private async ask(make: () => Promise<server.Job>): Promise<void> {
    try {
      await this.saving;
      this.following = true;
      this.follow_.checked = true;
      this.heardJob(await make());
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }

  private ended(id: string): Promise<server.Job> {
    const job = this.jobs.get(id);
    if (job && job.state !== "waiting" && job.state !== "running") return Promise.resolve(job);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  private heardJob(job: server.Job): void {
    if (job.project !== this.project.id) return;
    const before = this.jobs.get(job.id);
    if (before && (before.state === "done" || before.state === "failed" || before.state === "cancelled")) return;
    this.jobs.set(job.id, job);
    if (job.state === "done" || job.state === "failed" || job.state === "cancelled") {
      this.waiting.get(job.id)?.(job);
      this.waiting.delete(job.id);
      if (before && job.state === "failed") toast(job.error, "error");
      if (before && job.kind === "track") {
        void this.refresh();
        void server.about().then((facts) => {
          this.speeds = facts.speeds;
          this.tellSpeed();
        });
      }
    }
    this.showWork();
  }

  private heardFrame(index: number): void {
    if (!this.project.tracked.some(([first, last]) => first <= index && index <= last)) {
      this.project.tracked = added(this.project.tracked, index);
    }
    this.project.stale = removed(this.project.stale, index);
    this.track.take(this.project);
    const busy = this.pen.busy || this.unsaved > 0;
    if (this.following && !this.playing && !busy) this.go(index, true);
    else if (index === this.wanted) this.go(index, true);
    if (!this.timelineTimer) {
      this.timelineTimer = window.setTimeout(() => {
        this.timelineTimer = 0;
        void this.sure();
      }, 1500);
    }
  }

  private showWork(): void {
    const live = [...this.jobs.values()].filter((job) => job.state === "running" || job.state === "waiting");
    for (const [id, row] of this.rows) {
      if (!live.some((job) => job.id === id)) {
        row.box.remove();
        this.rows.delete(id);
      }
    }
    for (const job of live) this.showJob(job);
    this.watching.hidden = !live.length;
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
        : `${job.kind === "track" ? "Tracking" : "Writing"} ${job.done}${job.total ? ` of ${job.total}` : ""}` +
          (job.seconds_left ? ` · ${clock(job.seconds_left)} left` : "");
    row.bar.max = job.total || 1;
    row.bar.value = job.done;
  }

  private async sure(): Promise<void> {
    try {
      this.track.sure = await server.timeline(this.project.id);
    } catch (error) {
      this.told(error);
      return;
    }
    this.track.draw();
    const frames = this.doubtful();
    const shown = frames.slice(0, 60).map((frame) => h("button", { type: "button", class: "chip", onclick: () => this.go(frame) }, String(frame)));
    clear(
      this.doubts,
      frames.length
        ? h("p", { class: "soft" }, `${frames.length} doubtful frame${frames.length === 1 ? "" : "s"}: N steps through`)
        : h("p", { class: "soft" }, this.track.sure.frames.length ? "No doubtful frame." : "Frames that need a look are listed here."),
      ...shown,
    );
  }

  private doubtful(): number[] {
    const { frames, confidence } = this.track.sure;
    return frames.filter((_, i) => Object.values(confidence).some((values) => (values[i] ?? 1) < DOUBT));
  }

  private doubt(way: 1 | -1): void {
    const frames = way > 0 ? this.doubtful() : this.doubtful().reverse();
    const next = frames.find((frame) => (frame - this.frame) * way > 0);
    if (next === undefined) toast("no doubtful frame in this direction");
    else this.go(next);
  }

  private tell(): void {
    const { keyframes, stale } = this.project;
    const isStale = stale.some(([first, last]) => first <= this.frame && this.frame <= last);
    const text = !keyframes.length
      ? "Draw the object on this frame: brush, or a rough line around it with the smart outline (O). Then press Track."
      : isStale
        ? "A drawing has changed since this frame was tracked; track again to bring it up to date."
        : this.state === "drawn"
          ? "Drawn by you"
          : this.state === "tracked"
            ? "Tracked"
            : "Not tracked yet";
    this.note.textContent = text;
    this.note.className = `note ${isStale ? "stale" : this.state} ${keyframes.length ? "" : "first"}`;
  }

  private tellSpeed(): void {
    const seconds = this.speeds[this.quality];
    this.speed.textContent = seconds ? `${seconds.toFixed(2)} s a frame on this machine` : "How fast it is here is measured when it is first used.";
  }
}

function added(spans: server.Span[], index: number): server.Span[] {
  const all = [...spans.map(([first, last]): server.Span => [first, last]), [index, index] as server.Span];
  all.sort((a, b) => a[0] - b[0]);
  const merged: server.Span[] = [];
  for (const span of all) {
    const last = merged.at(-1);
    if (last && span[0] <= last[1] + 1) last[1] = Math.max(last[1], span[1]);
    else merged.push(span);
  }
  return merged;
}

function removed(spans: server.Span[], index: number): server.Span[] {
  return spans.flatMap(([first, last]): server.Span[] => {
    if (index < first || index > last) return [[first, last]];
    const parts: server.Span[] = [];
    if (first < index) parts.push([first, index - 1]);
    if (index < last) parts.push([index + 1, last]);
    return parts;
  });
}

const hex = (colour: number[]) => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
const triple = (text: string): [number, number, number] => [
  parseInt(text.slice(1, 3), 16),
  parseInt(text.slice(3, 5), 16),
  parseInt(text.slice(5, 7), 16),
];
