// Where everything of the editor lies on the screen.

import { button, clear, h, icon, link } from "./dom";
import type { Editor } from "./editor";
import { exporting } from "./exporting";
import { help } from "./keys";
import { shortcuts } from "./shortcuts";

type Open = (path: string) => void;

export function lay(root: HTMLElement, editor: Editor, open: Open): void {
  clear(
    root,
    header(editor, open),
    h(
      "main",
      { class: "editor" },
      editor.toolbox.element,
      h("div", { class: "stage" }, editor.picture.canvas, editor.note),
      panel(editor, open),
      footer(editor),
    ),
  );
}

function header(editor: Editor, open: Open): HTMLElement {
  const { id, name } = editor.project;
  const write = () => void exporting(id, (job) => editor.work.ended(job));
  return h(
    "header",
    { class: "bar" },
    button("home", "All projects", () => open("/")),
    h("h1", {}, name),
    editor.saving.element,
    h("span", { class: "grow" }),
    editor.undoButton,
    editor.redoButton,
    editor.address.zoom,
    button("fit", "Show all of the picture", () => editor.picture.fit()),
    button("help", "Keys", () => help(shortcuts(editor))),
    h("button", { type: "button", class: "button primary", onclick: write }, icon("export"), "Export"),
  );
}

function panel(editor: Editor, open: Open): HTMLElement {
  return h(
    "aside",
    { class: "panel", "aria-label": "Objects and tracking" },
    h("div", { class: "head" }, h("h2", {}, "Objects"), button("plus", "Add an object", () => void editor.objects.add())),
    editor.objects.element,
    h("div", { class: "field" }, h("label", { for: "size" }, "Brush size"), editor.toolbox.size),
    h("h2", {}, "Track"),
    ...editor.tracking.elements,
    link(`/learn#project=${editor.project.id}`, "Loses the object? Learn", open),
    editor.work.element,
    h("h2", {}, "Review"),
    editor.review.element,
    h("button", { type: "button", class: "button", title: "Where does a pixel come from? (W)", onclick: () => editor.origin() }, icon("help"), "Why this label?"),
  );
}

function footer(editor: Editor): HTMLElement {
  return h(
    "footer",
    { class: "foot" },
    h(
      "div",
      { class: "row" },
      button("previous", "Previous drawing", () => editor.jump(-1)),
      editor.player.element,
      button("next", "Next drawing", () => editor.jump(1)),
      editor.at,
      h("span", { class: "grow" }),
      h("button", { type: "button", class: "quiet", onclick: () => void editor.erase() }, "Clear drawing"),
    ),
    editor.track.canvas,
  );
}
