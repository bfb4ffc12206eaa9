"""Draw floors.svg: python docs/figures/floors.py."""

from pathlib import Path

FLOORS = (
    (("napari_plugin", "a widget beside napari's layers"),),
    (("cli", "parse, call the api, print"),),
    (("web", "a page to draw, track and correct in"), ("batch", "many videos, on Ray or without")),
    (("experiments", "comparisons of many runs"),),
    (("api", "where all floors meet"),),
    (("recipes", "complete training runs"),),
    (("training", "phases, stores, checkpoints"), ("evaluation", "measures, reports"), ("projects", "drawings, undo")),
    (("tracking", "frame in, mask out"), ("formats", "tracks for other programs")),
    (("models", "E, V, D and weights"), ("data", "videos, masks, tracks"), ("objectives", "training signals")),
    (("ops", "pure tensor functions, compiled kernels"),),
    (
        ("types", "shared words"),
        ("storage", "whole files only"),
        ("settings", "dataclasses"),
        ("stopping", "stop flags"),
    ),
    (("registry", "names that arrive as text"),),
    (("errors", "mistakes by name, exit statuses"),),
)
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
SANS = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
TITLE = "The floors of selfvos: a module imports only from floors below its own"
WIDTH, LEFT, RIGHT, TOP, ROOM, PITCH, GAP = 860, 96, 832, 22, 46, 62, 14


def text(x: float, y: int, words: str, *, family: str, size: int, more: str) -> str:
    """Return a line of text."""
    look = f"font-family='{family}' font-size='{size}' text-anchor='middle' {more}"
    return f"<text x='{x:.1f}' y='{y}' {look}>{words}</text>"


def main() -> None:
    """Draw and write."""
    height = TOP + PITCH * len(FLOORS) + 8
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' aria-label='{TITLE}'>",
        f"<title>{TITLE}</title>",
        "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0 0L8 4L0 8z' fill='#0b6e8a'/></marker></defs>",
        f"<rect width='{WIDTH}' height='{height}' rx='10' fill='#ffffff'/>",
        f"<path d='M48 {TOP}V{height - 34}' stroke='#0b6e8a' stroke-width='2' marker-end='url(#head)'/>",
    ]
    words = text(28, height // 2, "imports go down, never sideways", family=SANS, size=12, more="fill='#0b6e8a'")
    parts.append(f"<g transform='rotate(-90 28 {height // 2})'>{words}</g>")
    for floor, rooms in enumerate(FLOORS):
        wide = (RIGHT - LEFT - GAP * (len(rooms) - 1)) / len(rooms)
        for place, (name, about) in enumerate(rooms):
            x, y = LEFT + place * (wide + GAP), TOP + floor * PITCH
            box = f"x='{x:.1f}' y='{y}' width='{wide:.1f}' height='{ROOM}' rx='7'"
            parts.append(f"<rect {box} fill='#eef3f8' stroke='#b8c2cc'/>")
            bold = "fill='#1d2733' font-weight='600'"
            parts.append(text(x + wide / 2, y + 20, name, family=MONO, size=14, more=bold))
            parts.append(text(x + wide / 2, y + 37, about, family=SANS, size=12, more="fill='#5b6875'"))
    Path(__file__).with_suffix(".svg").write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
