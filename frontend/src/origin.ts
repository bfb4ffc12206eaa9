// Where a pixel comes from: a picture of what it was matched with, made by the process that has the model.

import { h, toast } from "./dom";
import { dialog } from "./keys";
import * as server from "./server";
import type { Work } from "./work";

export async function showOrigin(project: string, pixel: server.Pixel, work: Work): Promise<void> {
  try {
    const asked = await server.matches(project, pixel);
    work.heard(asked);
    const job = await work.ended(asked.id);
    if (job.state === "cancelled") return;
    if (job.state !== "done") throw new Error(job.error);
    const alt = `Frame ${pixel.frame} with the pixel at ${pixel.x}, ${pixel.y}, and the frames that its label was taken from`;
    const picture = h("img", { src: `/api/exports/${job.id}`, alt });
    const about = "White squares: what the label was taken from. Heat: what looks alike. Below each frame: its share.";
    dialog("Where this pixel comes from", h("div", { class: "ask" }, picture, h("p", { class: "soft" }, about))).classList.add("wide");
  } catch (error) {
    toast((error as Error).message, "error");
  }
}
