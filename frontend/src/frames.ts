// Pictures of frames: the latest are kept, and none is fetched twice at once.

import * as server from "./server";

const WIDTHS = [480, 960, 1920, 3840];
const KEPT = 48;

export class Frames {
  private readonly images = new Map<string, Promise<ImageBitmap>>();

  constructor(private readonly project: server.Project) {}

  // A frame, as wide as it is shown.
  get(frame: number, shown: number): Promise<ImageBitmap> {
    const width = WIDTHS.find((each) => each >= Math.min(shown, this.project.width)) ?? 3840;
    const url = server.frameUrl(this.project.id, frame, width);
    const image = this.images.get(url) ?? fetchImage(url);
    image.catch(() => this.images.delete(url));
    // Asked for again, it is the last to go: the one that is on the screen is never closed.
    this.images.delete(url);
    this.images.set(url, image);
    const [oldest] = this.images.keys();
    if (this.images.size > KEPT && oldest) {
      void this.images.get(oldest)?.then((bitmap) => bitmap.close());
      this.images.delete(oldest);
    }
    return image;
  }
}

async function fetchImage(url: string): Promise<ImageBitmap> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(((await answer.json()) as { error: string }).error);
  return createImageBitmap(await answer.blob());
}
