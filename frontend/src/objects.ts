// The objects of a project: chosen, named, coloured, hidden, merged, split, removed.

import { button, clear, h } from "./dom";
import { objectMenu } from "./object_menu";
import type { Picture } from "./picture";
import * as server from "./server";

export interface Owner {
  picture: Picture;
  project(): server.Project;
  change(make: () => Promise<server.Project>): Promise<void>;
  // Have the person point at a piece of an object, which becomes one of its own.
  split(): void;
}

export class ObjectList {
  readonly element = h("ul", { class: "things", "aria-label": "Objects" });
  // Id of the object that is drawn; 0 where there is none.
  chosen = 0;

  // What is in the list: as long as it stays the same, what is pressed or typed there is left alone.
  private drawn = "";

  constructor(private readonly owner: Owner) {}

  take(project: server.Project): void {
    const drawn = JSON.stringify([project.objects, this.chosen]);
    if (drawn === this.drawn) return;
    if (!project.objects.some((thing) => thing.id === this.chosen)) this.chosen = project.objects[0]?.id ?? 0;
    this.owner.picture.colour(project.objects);
    this.show();
  }

  pick(place: number): void {
    const thing = this.owner.project().objects[place];
    if (!thing) return;
    this.chosen = thing.id;
    this.show();
  }

  async add(): Promise<void> {
    await this.owner.change(() => server.addObject(this.owner.project().id));
    this.pick(this.owner.project().objects.length - 1);
  }

  // The first stroke of all names the first object.
  needed(): void {
    this.chosen ||= 1;
  }

  private show(): void {
    this.drawn = JSON.stringify([this.owner.project().objects, this.chosen]);
    const rows = this.owner.project().objects.map((thing, place) => this.row(thing, place));
    if (!rows.length) rows.push(h("li", { class: "soft" }, "None yet: your first stroke makes one."));
    clear(this.element, ...rows);
  }

  private row(thing: server.Thing, place: number): HTMLLIElement {
    const change = (what: Partial<server.Thing>) =>
      void this.owner.change(() => server.changeObject(this.owner.project().id, thing.id, what));
    const name = h("input", { type: "text", value: thing.name, "aria-label": `Name of object ${thing.id}`, maxlength: "200" });
    name.addEventListener("change", () => change({ name: name.value }));
    const colour = h("input", { type: "color", value: hex(thing.colour), "aria-label": `Colour of ${thing.name}` });
    colour.addEventListener("change", () => change({ colour: triple(colour.value) }));
    const hidden = this.owner.picture.hidden.has(thing.id);
    const pick = h("input", {
      type: "radio",
      name: "object",
      checked: thing.id === this.chosen,
      "aria-label": `Draw ${thing.name}${place < 9 ? ` (${place + 1})` : ""}`,
      onchange: () => this.pick(place),
    });
    return h(
      "li",
      { class: thing.id === this.chosen ? "chosen" : "" },
      pick,
      colour,
      name,
      button(hidden ? "hidden" : "eye", hidden ? `Show ${thing.name}` : `Hide ${thing.name}`, () => this.hide(thing.id)),
      button("more", `More for ${thing.name}`, () => this.menu(thing)),
    );
  }

  private menu(thing: server.Thing): void {
    const { owner } = this;
    const { id, objects } = owner.project();
    objectMenu(thing, objects.filter((one) => one.id !== thing.id), {
      merge: (into) => {
        if (this.chosen === thing.id) this.chosen = into;
        void owner.change(() => server.mergeObjects(id, thing.id, into));
      },
      split: () => owner.split(),
      remove: () => void owner.change(() => server.removeObject(id, thing.id)),
    });
  }

  private hide(id: number): void {
    const { picture } = this.owner;
    if (!picture.hidden.delete(id)) picture.hidden.add(id);
    picture.colour(this.owner.project().objects);
    this.show();
  }
}

const hex = (colour: number[]) => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
const triple = (text: string): [number, number, number] => [
  parseInt(text.slice(1, 3), 16),
  parseInt(text.slice(3, 5), 16),
  parseInt(text.slice(5, 7), 16),
];
