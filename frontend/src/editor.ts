// One project: draw, track, look, correct. Which frame is shown, and what becomes of it when something happens.

import { Address } from "./address";
import { button, h, toast } from "./dom";
import { Frames } from "./frames";
import { bind } from "./keys";
import { lay } from "./layout";
import { type Mask, polygon } from "./mask";
import { ObjectList } from "./objects";
import { showOrigin } from "./origin";
import { Picture } from "./picture";
import { Player } from "./player";
import { Review } from "./review";
import { Saving } from "./saving";
import * as server from "./server";
import { shortcuts } from "./shortcuts";
import { added, inside, removed } from "./spans";
import { Track } from "./timeline";
import { Toolbox } from "./toolbox";
import { Pen } from "./tools";
import { Tracking } from "./tracking";
import { Work } from "./work";

const SURE_MS = 1500;

export class Editor {
  readonly picture: Picture;
  readonly pen: Pen;
  readonly toolbox: Toolbox;
  readonly track: Track;
  readonly objects: ObjectList;
  readonly saving: Saving;
  readonly work: Work;
  readonly tracking: Tracking;
  readonly player: Player;
  readonly address: Address;
  readonly review = new Review((frame) => this.seek(frame));
  readonly at = h("output", { class: "at", "aria-live": "off" });
  readonly note = h("p", { class: "note" });
  readonly undoButton = button("undo", "Undo", () => this.undo());
  readonly redoButton = button("redo", "Redo", () => this.redo());
  // The frame that is to be shown; `frame` is the one that is.
  wanted = -1;
  private frame = 0;
  private readonly frames: Frames;
  private readonly unbind: () => void;
  private state = "empty";
  private loading = false;
  private closed = false;
  private outdated = false;
  private sureTimer = 0;
  // Counts when strokes begin and end: what was asked for before then is older than they are.
  private strokes = 0;

  constructor(
    root: HTMLElement,
    public project: server.Project,
    open: (path: string) => void,
  ) {
    const canvas = h("canvas", { class: "picture", tabindex: "0", "aria-label": "Frame with masks; draw here" });
    const here = { project: () => this.project, frame: () => this.frame };
    this.picture = new Picture(canvas, project.width, project.height);
    this.frames = new Frames(project);
    this.objects = new ObjectList({
      ...here,
      picture: this.picture,
      change: (make) => this.change(make),
      split: () => this.split(),
    });
    this.saving = new Saving(project.id, (changed, frame) => this.kept(changed, frame));
    this.pen = this.makePen();
    this.toolbox = new Toolbox(this.pen, () => this.picture.ask());
    this.track = new Track(h("canvas", { class: "timeline" }), project, (frame) => this.seek(frame));
    this.work = new Work(project.id, () => this.trackedSome());
    this.tracking = new Tracking({ ...here, ask: (make) => this.ask(make) });
    this.player = new Player({
      count: project.count,
      fps: project.fps,
      shown: () => this.frame,
      wanted: () => this.wanted,
      go: (frame) => this.go(frame),
    });
    this.address = new Address(this.picture, () => this.wanted);
    lay(root, this, open);
    const begin = this.address.restore();
    this.unbind = bind(shortcuts(this));
    this.take(project);
    this.go(begin);
    void this.look();
  }

  close(): void {
    this.closed = true;
    this.unbind();
    this.track.close();
    this.saving.close();
    this.address.close();
    this.player.stop();
  }

  // Something happened: here, in another tab, or in the process that tracks.
  heard(event: server.Event_): void {
    if (event.kind === "behind") void this.refresh();
    else if (event.kind === "job") this.work.heard(event.job);
    else if (event.project !== this.project.id) return;
    else if (event.kind === "changed" && event.revision !== this.project.revision) void this.refresh();
    else if (event.kind === "frame") this.heardFrame(event.index);
  }

  async refresh(): Promise<void> {
    if (await this.look()) this.go(this.wanted, true);
  }

  undo(): void {
    void this.change(() => server.undo(this.project.id));
  }

  redo(): void {
    void this.change(() => server.redo(this.project.id));
  }

  async erase(): Promise<void> {
    if (this.project.keyframes.includes(this.frame)) await this.change(() => server.erase(this.project.id, this.frame));
    else toast("nothing was drawn on this frame");
  }

  escape(): void {
    this.pen.stop();
    this.work.stopTracking();
    this.tell();
  }

  // A person goes to a frame, and stays there while others are tracked.
  seek(frame: number): void {
    this.work.following = false;
    this.go(frame);
  }

  jump(way: 1 | -1): void {
    const drawn = way > 0 ? this.project.keyframes : [...this.project.keyframes].reverse();
    const next = drawn.find((frame) => (frame - this.frame) * way > 0);
    if (next === undefined) toast(way > 0 ? "no later drawing" : "no earlier drawing");
    else this.seek(next);
  }

  doubt(way: 1 | -1): void {
    this.review.step(this.frame, way);
  }

  private split(): void {
    this.pen.pick((x, y) => void this.change(() => server.splitObject(this.project.id, { frame: this.frame, x, y })));
    this.note.textContent = "Click the piece that is to be an object of its own; Esc leaves all as it is.";
  }

  origin(): void {
    this.pen.pick((x, y) => {
      this.tell();
      void showOrigin(this.project.id, { frame: this.frame, x, y, ...this.tracking.way }, this.work);
    });
    this.note.textContent = "Click a pixel of this frame to see what its label was taken from; Esc leaves.";
  }

  private makePen(): Pen {
    return new Pen({
      picture: this.picture,
      object: () => this.objects.chosen,
      may: () => this.mayDraw(),
      done: () => this.keep(),
      dropped: () => this.go(this.frame, true),
      outlined: (points) => void this.outlined(points),
    });
  }

  // Who draws while frames are tracked draws on the one that is seen, and is not taken away from it.
  private mayDraw(): boolean {
    if (this.wanted !== this.frame) {
      if (!this.work.following) return false;
      this.go(this.frame);
    }
    this.work.following = false;
    this.strokes += 1;
    this.objects.needed();
    return true;
  }

  private keep(): void {
    this.strokes += 1;
    this.saving.keep(this.frame, { ...this.picture.mask, ids: this.picture.mask.ids.slice() });
  }

  private kept(project: server.Project, frame: number): void {
    if (frame === this.frame) this.state = "drawn";
    this.take(project);
  }

  private async change(make: () => Promise<server.Project>): Promise<void> {
    try {
      await this.saving.done();
      this.take(await make());
      this.go(this.wanted, true);
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }

  private async ask(make: () => Promise<server.Job>): Promise<void> {
    try {
      await this.saving.done();
      this.work.following = true;
      this.work.heard(await make());
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }

  private async outlined(points: [number, number][]): Promise<void> {
    const { frame } = this;
    const object = this.objects.chosen;
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

  private take(project: server.Project): void {
    this.project = project;
    this.objects.take(project);
    this.track.take(project);
    this.undoButton.disabled = !project.undo;
    this.redoButton.disabled = !project.redo;
    this.undoButton.title = project.undo ? `Undo: ${project.undo}` : "Nothing to undo";
    this.redoButton.title = project.redo ? `Redo: ${project.redo}` : "Nothing to redo";
    this.tell();
  }

  private go(frame: number, anew = false): void {
    frame = Math.min(this.project.count - 1, Math.max(0, Math.round(frame)));
    if (frame === this.wanted && !anew) return;
    if (frame !== this.wanted) this.pen.stop();
    this.wanted = frame;
    this.outdated = true;
    this.track.go(frame);
    this.at.textContent = `${frame} / ${this.project.count - 1}  ·  ${(frame / this.project.fps).toFixed(2)} s`;
    this.address.remember();
    void this.load();
  }

  // One frame is fetched at a time, and after it the one wanted by then: what lies between is never waited for.
  private async load(): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    while (this.outdated && !this.closed) {
      this.outdated = false;
      try {
        await this.saving.done();
        await this.bring(this.wanted);
      } catch (error) {
        this.told(error);
      }
    }
    this.loading = false;
  }

  private async bring(frame: number): Promise<void> {
    const { strokes } = this;
    const shown = this.picture.canvas.clientWidth * (window.devicePixelRatio || 1);
    const [image, found] = await Promise.all([this.frames.get(frame, shown), server.mask(this.project.id, frame)]);
    // A stroke that began meanwhile is newer than the mask that came, and belongs to the frame that it began on.
    if (this.closed || this.pen.busy || strokes !== this.strokes) return;
    this.frame = frame;
    this.state = found.state;
    this.picture.canvas.dataset["frame"] = String(frame);
    this.picture.show(image);
    this.picture.take(found.mask);
    this.tell();
    if (frame + 1 < this.project.count) void this.frames.get(frame + 1, shown).catch(() => undefined);
  }

  private heardFrame(index: number): void {
    this.project.tracked = added(this.project.tracked, index);
    this.project.stale = removed(this.project.stale, index);
    this.track.take(this.project);
    const busy = this.pen.busy || this.saving.busy;
    if (this.work.following && !this.player.playing && !busy) this.go(index, true);
    else if (index === this.wanted) this.go(index, true);
    if (!this.sureTimer) {
      this.sureTimer = window.setTimeout(() => {
        this.sureTimer = 0;
        void this.look();
      }, SURE_MS);
    }
  }

  private trackedSome(): void {
    void this.refresh();
    void this.tracking.measure();
  }

  // Take in how the project is by now: what is stale, and how sure the track is.
  private async look(): Promise<boolean> {
    const { id } = this.project;
    try {
      const [project, sure] = await Promise.all([server.project(id), server.timeline(id)]);
      if (this.closed) return false;
      this.track.sure = sure;
      this.review.take(sure);
      this.take(project);
      return true;
    } catch (error) {
      this.told(error);
      return false;
    }
  }

  private tell(): void {
    const { keyframes, stale } = this.project;
    const isStale = inside(stale, this.frame);
    const known: Record<string, string> = { drawn: "Drawn by you", tracked: "Tracked" };
    this.note.textContent = !keyframes.length
      ? "Draw the object on this frame: brush, or a rough line around it with the smart outline (O). Then press Track."
      : isStale
        ? "A drawing has changed since this frame was tracked; track again to bring it up to date."
        : (known[this.state] ?? "Not tracked yet");
    this.note.className = `note ${isStale ? "stale" : this.state} ${keyframes.length ? "" : "first"}`;
  }

  // That the server cannot be reached is told once, by who listens to it; all is asked for again when it is back.
  private told(error: unknown): void {
    if (!this.closed && !(error instanceof TypeError)) toast((error as Error).message, "error");
  }
}
