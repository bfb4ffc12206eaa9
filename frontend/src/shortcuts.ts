// What each key does in the editor.

import type { Editor } from "./editor";
import { help, type Key } from "./keys";
import { TOOLS } from "./tools";

export function shortcuts(editor: Editor): Key[] {
  const { pen, picture, toolbox, tracking } = editor;
  const step = (count: number) => () => editor.seek(editor.wanted + count);
  const move = (x: number, y: number, fine = false) => () => pen.step(x, y, fine);
  return [
    { keys: "Space", about: "Play or pause", act: () => editor.player.toggle() },
    { keys: "ArrowLeft", about: "One frame back", act: step(-1) },
    { keys: "ArrowRight", about: "One frame on", act: step(1) },
    { keys: "Shift+ArrowLeft", about: "Ten frames back", act: step(-10) },
    { keys: "Shift+ArrowRight", about: "Ten frames on", act: step(10) },
    { keys: "Home", about: "First frame", act: () => editor.seek(0) },
    { keys: "End", about: "Last frame", act: () => editor.seek(tracking.last) },
    { keys: ",", about: "Previous drawing", act: () => editor.jump(-1) },
    { keys: ".", about: "Next drawing", act: () => editor.jump(1) },
    { keys: "n", about: "Next doubtful frame", act: () => editor.doubt(1) },
    { keys: "m", about: "Previous doubtful frame", act: () => editor.doubt(-1) },
    ...TOOLS.map(([tool, label, key]) => ({ keys: key.toLowerCase(), about: label, act: () => toolbox.choose(tool) })),
    { keys: "[", about: "Smaller brush", act: () => toolbox.resize(-1) },
    { keys: "]", about: "Larger brush", act: () => toolbox.resize(1) },
    { keys: "j / k / i / l", about: "Move the pen left, down, up, right; with Shift by one pixel", act: () => undefined },
    ...[["j", -1, 0], ["k", 0, 1], ["i", 0, -1], ["l", 1, 0]].flatMap(([key, x, y]) => [
      { keys: String(key), about: "", act: move(Number(x), Number(y)) },
      { keys: String(key).toUpperCase(), about: "", act: move(Number(x), Number(y), true) },
    ]),
    { keys: "x", about: "Put the pen down, and lift it; set a corner; fill", act: () => pen.press() },
    { keys: "Enter", about: "Close the polygon", act: () => pen.close() },
    { keys: "Escape", about: "Drop the polygon; stop tracking", act: () => editor.escape() },
    { keys: "a", about: "Add an object", act: () => void editor.objects.add() },
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ keys: String(n), about: n === 1 ? "1 to 9: choose an object" : "", act: () => editor.objects.pick(n - 1) })),
    { keys: "t", about: "Track forward", act: () => void tracking.until(tracking.last) },
    { keys: "u", about: "Track until a frame", act: () => void tracking.untilAsked() },
    { keys: "g", about: "Fill between two drawings", act: () => void tracking.between() },
    { keys: "r", about: "Track backward", act: () => void tracking.until(0) },
    { keys: "w", about: "Why this label: then click a pixel", act: () => editor.origin() },
    { keys: "+", about: "Zoom in", act: () => picture.zoomTo(picture.zoom * 1.25) },
    { keys: "-", about: "Zoom out", act: () => picture.zoomTo(picture.zoom / 1.25) },
    { keys: "0", about: "Show all of the picture", act: () => picture.fit() },
    { keys: "Ctrl+Z", about: "Undo", act: () => editor.undo() },
    { keys: "Ctrl+Y / Ctrl+Shift+Z", about: "Redo", act: () => editor.redo() },
    { keys: "?", about: "This list", act: () => help(shortcuts(editor).filter((key) => key.about)) },
  ];
}
