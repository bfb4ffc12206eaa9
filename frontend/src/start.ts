// The first screen: bring a video, or go on with yesterday's.

import { browser } from "./browser";
import { button, bytes, clear, h, icon, link, toast } from "./dom";
import { confirm_ } from "./keys";
import * as server from "./server";

export async function start(root: HTMLElement, open: (path: string) => void): Promise<void> {
  const facts = await server.about();
  const begin = async (make: Promise<server.Project>) => {
    try {
      open(`/p/${(await make).id}`);
    } catch (error) {
      toast((error as Error).message, "error");
    }
  };
  const progress = h("progress", { max: "1", value: "0", hidden: true, "aria-label": "Upload" });
  const send = (file: File) => {
    if (file.size > facts.most_upload_bytes) {
      toast(`${file.name} is larger than ${bytes(facts.most_upload_bytes)}; open it by its path instead`, "error");
      return;
    }
    progress.hidden = false;
    void begin(server.upload(file, (share) => (progress.value = share))).finally(() => (progress.hidden = true));
  };
  const picker = h("input", { type: "file", id: "picker", class: "hidden", "aria-label": "Video file" });
  picker.addEventListener("change", () => picker.files?.[0] && send(picker.files[0]));
  const drop = h(
    "section",
    { class: "drop" },
    icon("upload"),
    h("h2", {}, "Drop a video here"),
    h("p", {}, "MP4, MOV, MKV, WebM, GIF, TIFF stack … It stays on this machine."),
    h("label", { for: "picker", class: "button primary" }, "Choose a file"),
    picker,
    h(
      "button",
      { type: "button", class: "button", onclick: () => void begin(server.demo()) },
      "Try the sample clip",
    ),
    progress,
  );
  const files = browser(facts.root, "Open from this machine", (entry) => void begin(server.create(entry.path)));
  const recent = h("section", { class: "recent" });
  const page = h("main", { class: "start" }, h("div", {}, drop, files), recent);
  for (const kind of ["dragover", "drop"]) {
    page.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      const file = kind === "drop" ? (event as DragEvent).dataTransfer?.files[0] : null;
      if (file) send(file);
    });
  }
  clear(
    root,
    h("header", { class: "bar" }, h("h1", {}, "selfvos"), h("span", { class: "soft" }, facts.version), h("span", { class: "grow" }), link("/learn", "Learn", open)),
    page,
    h(
      "footer",
      { class: "soft" },
      `Weights ${facts.weights} · ${facts.device} · ${facts.cores} cores · everything stays on this machine`,
    ),
  );
  void list();

  async function remove({ id, name }: server.Summary): Promise<void> {
    const about = "What was drawn and tracked is gone for good, and so is the video where it was uploaded here. Other videos stay where they are.";
    if (!(await confirm_(`Remove ${name}?`, about, "Remove"))) return;
    try {
      await server.removeProject(id);
    } catch (error) {
      toast((error as Error).message, "error");
    }
    await list();
  }

  async function list(): Promise<void> {
    const found = await server.projects();
    const cards = found.map((one) =>
      h(
        "li",
        {},
        button("trash", `Remove ${one.name}`, () => void remove(one), { class: "icon remove" }),
        h(
          "button",
          { type: "button", class: "card", disabled: Boolean(one.error), onclick: () => open(`/p/${one.id}`) },
          one.error ? icon("warning") : h("img", { src: server.frameUrl(one.id, 0, 160), alt: "", loading: "lazy" }),
          h("strong", {}, one.name),
          h(
            "span",
            { class: "soft" },
            one.error ?? `${one.tracked} of ${one.frames} frames · ${one.objects} object${one.objects === 1 ? "" : "s"}`,
          ),
        ),
      ),
    );
    clear(
      recent,
      h("h2", {}, "Projects"),
      cards.length
        ? h("ul", { class: "cards" }, ...cards)
        : h(
            "ol",
            { class: "steps" },
            h("li", {}, h("strong", {}, "Open a video"), h("span", { class: "soft" }, "Drop one, choose one, or try the sample clip.")),
            h("li", {}, h("strong", {}, "Draw one frame"), h("span", { class: "soft" }, "A rough line around the object will do: it snaps to edges.")),
            h("li", {}, h("strong", {}, "Track"), h("span", { class: "soft" }, "Masks of all other frames arrive while you watch. Correct any of them, and track on.")),
            h("li", {}, h("strong", {}, "Export"), h("span", { class: "soft" }, "In the format that your next program reads.")),
          ),
    );
  }
}
