// What each key does, in one place: the map under "?" is made of it.

import { h } from "./dom";

export interface Key {
  keys: string;
  about: string;
  act: () => void;
}

export function pressed(event: KeyboardEvent): string {
  const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.shiftKey && (event.key.length > 1 || event.ctrlKey || event.metaKey) ? "Shift+" : "");
  return held + (event.key === " " ? "Space" : event.key.length === 1 && held.includes("Ctrl") ? event.key.toUpperCase() : event.key);
}

export function bind(keys: Key[]): () => void {
  const acts = new Map<string, () => void>();
  for (const key of keys) for (const one of key.keys.split(" / ")) acts.set(one, key.act);
  const hear = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const name = pressed(event);
    if (target.closest("select, textarea, dialog[open], input[type=text], input[type=number]")) return;
    // Sliders, boxes and the like have a use for these, and for no other keys.
    if (target.closest("input") && /^(Arrow|Home|End|Page|Space|Enter)/.test(name)) return;
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

const SIGNS: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
const shown = (key: string) => key.replace(/ArrowLeft|ArrowRight|Escape/g, (name) => SIGNS[name] ?? name).replaceAll("+", key === "+" ? "+" : " ");

export function help(keys: Key[]): void {
  const rows = keys.map((key) =>
    h("tr", {}, h("th", { scope: "row" }, ...key.keys.split(" / ").map((one) => h("kbd", {}, shown(one)))), h("td", {}, key.about)),
  );
  dialog("Keys", h("table", { class: "keys" }, h("tbody", {}, ...rows)));
}

export interface Range_ {
  least: number;
  most: number;
  value: number;
  verb: string;
}

// A number from the person; null where the dialog was closed.
export function askNumber(title: string, label: string, { least, most, value, verb }: Range_): Promise<number | null> {
  return new Promise((resolve) => {
    let answer: number | null = null;
    const field = h("input", { type: "number", id: "answer", min: String(least), max: String(most), step: "1", value: String(value), required: true });
    const form = h(
      "form",
      { class: "ask", method: "dialog" },
      h("label", { for: "answer" }, label),
      h("div", { class: "row" }, field, h("button", { type: "submit", class: "button primary" }, verb)),
    );
    form.addEventListener("submit", () => (answer = field.valueAsNumber));
    const box = dialog(title, form);
    box.classList.add("small");
    box.addEventListener("close", () => resolve(answer));
    field.focus();
    field.select();
  });
}

// Asks before something is gone for good.
export function confirm_(title: string, about: string, verb: string): Promise<boolean> {
  return new Promise((resolve) => {
    let yes = false;
    const act = () => {
      yes = true;
      box.close();
    };
    const press = h("button", { type: "button", class: "button primary", onclick: act }, verb);
    const box = dialog(title, h("div", { class: "ask" }, h("p", {}, about), h("div", { class: "row" }, press)));
    box.classList.add("small");
    box.addEventListener("close", () => resolve(yes));
    press.focus();
  });
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
