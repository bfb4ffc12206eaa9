// What each key does, in one place: the map under "?" is made of it.

import { h } from "./dom";

export interface Key {
  keys: string;
  about: string;
  act: () => void;
}

export function pressed(event: KeyboardEvent): string {
  const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.shiftKey && event.key.length > 1 ? "Shift+" : "");
  return held + (event.key === " " ? "Space" : event.key.length === 1 && held.includes("Ctrl") ? event.key.toUpperCase() : event.key);
}

export function bind(keys: Key[]): () => void {
  const acts = new Map<string, () => void>();
  for (const key of keys) for (const one of key.keys.split(" / ")) acts.set(one, key.act);
  const hear = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    if (target.closest("input, select, textarea, dialog[open]")) return;
    const name = pressed(event);
    // Enter and Space on a button press it.
    if (target.closest("button, a") && (name === "Space" || name === "Enter")) return;
    const act = acts.get(name);
    if (act) {
      event.preventDefault();
      act();
    }
  };
  window.addEventListener("keydown", hear);
  return () => window.removeEventListener("keydown", hear);
}

export function help(keys: Key[]): void {
  const rows = keys.map((key) =>
    h("tr", {}, h("th", { scope: "row" }, ...key.keys.split(" / ").map((one) => h("kbd", {}, one))), h("td", {}, key.about)),
  );
  dialog("Keys", h("table", { class: "keys" }, h("tbody", {}, ...rows)));
}

export function dialog(title: string, ...content: Node[]): HTMLDialogElement {
  const close = () => box.close();
  const box: HTMLDialogElement = h(
    "dialog",
    { "aria-label": title },
    h("header", {}, h("h2", {}, title), h("button", { type: "button", class: "quiet", onclick: close }, "Close")),
    ...content,
  );
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => {
    if (event.target === box) close();
  });
  document.body.append(box);
  box.showModal();
  return box;
}
