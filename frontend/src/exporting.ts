// Formats, with who reads them and how large they get.

import { bytes, h, toast } from "./dom";
import { dialog } from "./keys";
import * as server from "./server";

export async function exporting(project: string, wait: (job: string) => Promise<server.Job>): Promise<void> {
  const formats = await server.formats(project);
  const soft = h("input", { type: "checkbox", id: "soft" });
  const rows = formats.map((format) => {
    const size = h("td", { class: "number" }, "…");
    const act = h("button", { type: "button", class: "button", onclick: () => void run() }, "Export");
    const run = async () => {
      act.disabled = true;
      act.textContent = "Writing …";
      try {
        const job = await wait((await server.exportAs(project, { format: format.name, soft: soft.checked && format.soft })).id);
        if (job.state !== "done") throw new Error(job.error || "cancelled");
        const link = h("a", { href: `/api/exports/${job.id}`, download: "" });
        document.body.append(link);
        link.click();
        link.remove();
        toast(`${format.name} is in your downloads`);
      } catch (error) {
        toast((error as Error).message, "error");
      }
      act.disabled = false;
      act.textContent = "Export";
    };
    const row = h(
      "tr",
      { "data-format": format.name },
      h("th", { scope: "row" }, format.name),
      h("td", {}, format.readers),
      size,
      h("td", {}, act),
    );
    return { format, size, act, row };
  });
  dialog(
    "Export",
    h("label", { for: "soft", class: "option" }, soft, h("span", {}, "Soft edges in cut-outs", h("span", { class: "soft" }, ` ${formats.filter((format) => format.soft).map((format) => format.name).join(", ")}: for hair, fur and motion blur`))),
    h(
      "table",
      { class: "formats" },
      h(
        "thead",
        {},
        h("tr", {}, ...["Format", "For", "About", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "hidden" }, "Action")))),
      ),
      h("tbody", {}, ...rows.map((each) => each.row)),
    ),
  );
  for (const { format, size, act } of rows) {
    const told = await server.size(project, format.name).catch((error: Error) => ({ bytes: null, why: error.message }));
    size.textContent = told.bytes === null ? "–" : bytes(told.bytes);
    if (told.bytes === null) {
      size.title = told.why;
      act.disabled = true;
      act.title = told.why;
    }
  }
}
