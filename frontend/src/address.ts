// The address says where one is: frame, zoom, and what is in the middle. Browsers bear only so many changes of it a second.

import { h } from "./dom";
import type { Picture } from "./picture";

const REST_MS = 250;

export class Address {
  readonly zoom = h("output", { class: "zoom soft", "aria-label": "Zoom" });
  private timer = 0;
  private closed = false;

  constructor(
    private readonly picture: Picture,
    private readonly wanted: () => number,
  ) {
    picture.viewed = () => this.remember();
  }

  // Look at the place that it names, once the picture is on the screen; return the frame.
  restore(): number {
    const place = new URLSearchParams(location.hash.slice(1));
    const zoom = Number(place.get("zoom"));
    if (zoom > 0) this.picture.look(zoom, Number(place.get("x")), Number(place.get("y")));
    return Number(place.get("frame")) || 0;
  }

  remember(): void {
    clearTimeout(this.timer);
    this.zoom.textContent = `${Math.round(this.picture.zoom * 100)} %`;
    this.timer = window.setTimeout(() => {
      if (this.closed) return;
      const [x, y] = this.picture.middle();
      const view = this.picture.fitted ? "" : `&zoom=${+this.picture.zoom.toFixed(3)}&x=${x.toFixed(1)}&y=${y.toFixed(1)}`;
      history.replaceState(null, "", `#frame=${this.wanted()}${view}`);
    }, REST_MS);
  }

  close(): void {
    this.closed = true;
  }
}
