// What of this machine can be opened, folder by folder.

import { clear, h, icon, toast } from "./dom";
import * as server from "./server";

export interface Entry {
  name: string;
  path: string;
  kind: string;
}

// A list of the folder below the root, in which `take` hears of every video that is pressed.
export function browser(root: string, title: string, take: (entry: Entry) => void): HTMLElement {
  const files = h("section", { class: "files" });
  void look("");
  return files;

  async function look(path: string): Promise<void> {
    try {
      const folder = await server.browse(path);
      const row = (name: string, kind: string, act: () => void) =>
        h("li", {}, h("button", { type: "button", class: "row", onclick: act }, icon(kind === "video" ? "video" : "folder"), name));
      clear(
        files,
        h("h2", {}, title),
        h("p", { class: "soft path", title: root }, [root.split(/[\\/]/).pop(), folder.path].filter(Boolean).join("/")),
        h(
          "ul",
          {},
          folder.up !== null && row("..", "folder", () => void look(folder.up ?? "")),
          ...folder.entries.map((entry) =>
            row(entry.kind === "frames" ? `${entry.name} (frames)` : entry.name, entry.kind, () =>
              entry.kind === "folder" ? void look(entry.path) : take(entry),
            ),
          ),
        ),
        !folder.entries.length && h("p", { class: "soft" }, "No video in this folder."),
      );
    } catch (error) {
      toast((error as Error).message, "error");
    }
  }
}
