// What is seldom done with an object: merged into another one, split, removed.

import { h } from "./dom";
import { dialog } from "./keys";
import type { Thing } from "./server";

export interface Acts {
  merge(into: number): void;
  split(): void;
  remove(): void;
}

export function objectMenu(thing: Thing, others: Thing[], acts: Acts): void {
  const press = (label: string, act: () => void, kind = "", props = {}) =>
    h("button", { type: "button", class: `button ${kind}`, onclick: () => (box.close(), act()), ...props }, label);
  const into = h("select", { id: "into", disabled: !others.length }, ...others.map((one) => h("option", { value: String(one.id) }, one.name)));
  const part = (title: string, about: string, ...row: Node[]) =>
    h("section", {}, h("h3", {}, title), h("p", { class: "soft" }, about), h("div", { class: "row" }, ...row));
  const merged = others.length
    ? "Drawings and tracked frames show both as one at once. Nothing has to be tracked again."
    : "There is no other object to merge it into.";
  const box = dialog(
    thing.name,
    h(
      "div",
      { class: "ask" },
      part(
        "Merge",
        merged,
        h("label", { for: "into" }, "into"),
        into,
        press("Merge", () => acts.merge(Number(into.value)), "primary", { disabled: !others.length }),
      ),
      part("Split", "A piece that does not touch the rest on this frame becomes an object of its own; track on from here.", press("Choose a piece", acts.split)),
      part("Remove", "It leaves all drawings and frames.", press("Remove", acts.remove)),
    ),
  );
  box.classList.add("small");
}
