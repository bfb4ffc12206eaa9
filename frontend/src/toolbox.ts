// The tools to choose from, and how large the brush is.

import { button, h } from "./dom";
import { type Pen, TOOLS, type Tool } from "./tools";

export class Toolbox {
  readonly element: HTMLElement;
  readonly size = h("input", { type: "range", id: "size", min: "1", max: "80", value: "12" });

  constructor(
    private readonly pen: Pen,
    resized: () => void,
  ) {
    this.element = h(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Tools" },
      ...TOOLS.map(([tool, label, key]) =>
        button(tool, `${label} (${key})`, () => this.choose(tool), { "data-tool": tool, "aria-pressed": "false" }),
      ),
    );
    this.size.addEventListener("input", () => {
      this.pen.radius = Number(this.size.value);
      resized();
    });
    this.choose("brush");
  }

  choose(tool: Tool): void {
    this.pen.choose(tool);
    for (const each of this.element.querySelectorAll<HTMLElement>("[data-tool]")) {
      each.setAttribute("aria-pressed", String(each.dataset["tool"] === tool));
    }
  }

  resize(by: number): void {
    this.size.value = String(Number(this.size.value) + by * Math.max(1, Math.round(this.pen.radius / 6)));
    this.size.dispatchEvent(new Event("input"));
  }
}
