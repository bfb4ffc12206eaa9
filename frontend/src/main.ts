// Which screen is shown, and the line to the server.

import { toast } from "./dom";
import { Editor } from "./editor";
import * as server from "./server";
import { start } from "./start";

const root = document.querySelector("#app") as HTMLElement;
let editor: Editor | null = null;
let cut = false;

// The token is a cookie by now, and need not be seen.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

async function show(): Promise<void> {
  editor?.close();
  editor = null;
  const id = location.pathname.match(/^\/p\/(p[0-9a-f]+)$/)?.[1];
  try {
    if (id) {
      editor = new Editor(root, await server.project(id), () => open("/"));
      document.title = "selfvos";
    } else await start(root, (project) => open(`/p/${project}`));
  } catch (error) {
    if (id) history.replaceState(null, "", "/");
    toast((error as Error).message, "error");
    if (id) await start(root, (project) => open(`/p/${project}`));
  }
}

function open(path: string): void {
  history.pushState(null, "", path);
  void show();
}

window.addEventListener("popstate", () => void show());
server.listen(
  (event) => editor?.heard(event),
  (line) => {
    if (!line && !cut) toast("the server does not answer; what you drew is kept, this page waits", "error");
    if (line && cut) {
      toast("connected again");
      void editor?.refresh();
    }
    cut = !line;
  },
);
void show();
