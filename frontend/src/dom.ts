// Elements in one line each.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

const PATHS: Record<string, string> = {
  brush: "M4 20c3 0 4-1 4-3a2.5 2.5 0 1 1 3 2.4C10 21 7 21 4 20ZM10.500 14 19 4.500a1.400 1.400 0 0 1 2 2L12 15.500",
  eraser: "m8 20-4.500-4.500a1.500 1.500 0 0 1 0-2.100L13 4l7 7-9 9ZM9 8l7 7M8 20h12",
  polygon: "M5 9 12 4l8 5-3 10H7ZM5 9v.01M12 4v.01M20 9v.01M17 19v.01M7 19v.01",
  fill: "m6 12 7-7 6 6-7.500 7.500a1.500 1.500 0 0 1-2.100 0L6 14ZM6 12h13M20 16c1 1.500 1.500 2.300 1.500 3a1.500 1.500 0 0 1-3 0c0-.7.500-1.500 1.500-3Z",
  outline: "M12 3l1.500 4L18 8.500l-4.500 1.500L12 14l-1.500-4L6 8.500 10.500 7ZM18 15l.8 2.200L21 18l-2.200.8L18 21l-.8-2.200L15 18l2.200-.8ZM5 15l.6 1.400L7 17l-1.400.6L5 19l-.6-1.400L3 17l1.400-.6Z",
  pan: "M8 12V6a1.500 1.500 0 0 1 3 0v5-6.500a1.500 1.500 0 0 1 3 0V11V6a1.500 1.500 0 0 1 3 0v7c0 5-2 8-6 8-3 0-4-1-6-5l-1.500-3a1.400 1.400 0 0 1 2.400-1.400L8 14",
  undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  redo: "m15 14 5-5-5-5M20 9H10a6 6 0 0 0 0 12h3",
  play: "M7 5v14l11-7Z",
  pause: "M8 5v14M16 5v14",
  next: "M6 5v14l9-7ZM18 5v14",
  previous: "M18 5v14l-9-7ZM6 5v14",
  forward: "M4 12h14m-5-5 5 5-5 5",
  backward: "M20 12H6m5-5-5 5 5 5",
  both: "M3 12h18M7 8l-4 4 4 4M17 8l4 4-4 4",
  stop: "M7 7h10v10H7Z",
  plus: "M12 5v14M5 12h14",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  more: "M11.500 5.500a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0ZM11.500 12a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0ZM11.500 18.500a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0Z",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7ZM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z",
  hidden: "m3 3 18 18M10.600 5.100A10 10 0 0 1 12 5c6 0 10 7 10 7a18 18 0 0 1-3.200 3.900M6.500 6.500A17 17 0 0 0 2 12s4 7 10 7a9.600 9.600 0 0 0 5-1.500M9.900 9.900a3 3 0 0 0 4.200 4.200",
  export: "M12 15V4m-4 4 4-4 4 4M5 13v6h14v-6",
  help: "M9 9a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 17.500v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z",
  home: "M4 11 12 4l8 7v9h-5v-6H9v6H4Z",
  warning: "M12 4 2.500 20h19ZM12 10v4M12 17v.01",
  close: "m6 6 12 12M18 6 6 18",
  folder: "M3 6h6l2 2h10v11H3Z",
  video: "M3 6h13v12H3ZM16 10l5-3v10l-5-3",
  upload: "M12 16V5m-4 4 4-4 4 4M4 15v4h16v-4",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  learn: "M4 19h16M5 15l4-5 3.500 3L19 5M15 5h4v4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5",
};

export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}

export function button(name: string, label: string, act: () => void, props: Props = {}): HTMLButtonElement {
  return h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: act, ...props }, icon(name));
}

// A link that another screen is reached by; opened in a new tab it is one as well.
export function link(path: string, label: string, open: (path: string) => void): HTMLAnchorElement {
  const go = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(path);
  };
  return h("a", { class: "button", href: path, onclick: go }, icon("learn"), label);
}

export function clear(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

let toastTimer = 0;

export function toast(text: string, kind: "note" | "error" = "note"): void {
  let box = document.querySelector<HTMLElement>("#toast");
  if (!box) {
    box = h("div", { id: "toast", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  box.textContent = text;
  box.className = `shown ${kind}`;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => box.classList.remove("shown"), kind === "error" ? 8000 : 3000);
}

export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count < 10 && unit ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  return minutes >= 60
    ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`
    : minutes
      ? `${minutes} min ${whole % 60} s`
      : `${whole} s`;
}
