// Which screen is shown, and the line to the server.

import { toast } from "./dom";
import { Editor } from "./editor";
import * as server from "./server";
import { Learn } from "./learn";
import { start } from "./start";

interface Screen_ {
  heard(event: server.Event_): void;
  refresh(): Promise<void>;
  close(): void;
}

const root = document.querySelector("#app") as HTMLElement;
let screen: Screen_ | null = null;
let cut = false;

// The token is a cookie by now, and need not be seen.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

async function show(): Promise<void> {
  screen?.close();
  screen = null;
  const id = location.pathname.match(/^\/p\/(p[0-9a-f]+)$/)?.[1];
  try {
    if (id) {
      screen = new Editor(root, await server.project(id), open);
    } else if (location.pathname === "/learn") {
      const [facts, projects] = await Promise.all([server.about(), server.projects()]);
      screen = new Learn(root, facts, projects, () => open("/"));
    } else await start(root, open);
  } catch (error) {
    if (id) history.replaceState(null, "", "/");
    toast((error as Error).message, "error");
    if (id) await start(root, open);
  }
}

function open(path: string): void {
  history.pushState(null, "", path);
  void show();
}

window.addEventListener("popstate", () => void show());
server.listen(
  (event) => screen?.heard(event),
  (line) => {
    if (!line && !cut) toast("the server does not answer; what you drew is kept, this page waits", "error");
    if (line && cut) {
      toast("connected again");
      void screen?.refresh();
    }
    cut = !line;
  },
);
void show();
