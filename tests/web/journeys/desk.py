"""A page server as its users start it, what is filmed there, and the page as a browser shows it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfvos.data.video_writer import VideoWriter
from selfvos.web.codec import decode_mask, encode_mask

AXE = Path(__file__).resolve().parents[3] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
WIDTH, HEIGHT, COUNT = 96, 64, 16
SQUARE = 20
SPEED = 3


def scene(t: int) -> np.ndarray:
    """A red square that goes right, and a blue one that goes left below it, over uneven ground."""
    ground = np.random.default_rng(0).integers(60, 130, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    rgb = ground.repeat(8, axis=0).repeat(8, axis=1)
    rgb[6 : 6 + SQUARE, 4 + SPEED * t : 4 + SQUARE + SPEED * t] = (230, 40, 40)
    rgb[36 : 36 + SQUARE, 72 - SPEED * t : 72 + SQUARE - SPEED * t] = (40, 60, 230)
    return rgb


def red(t: int) -> np.ndarray:
    """Where the red square is: id 1."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[6 : 6 + SQUARE, 4 + SPEED * t : 4 + SQUARE + SPEED * t] = 1
    return mask


@dataclass
class PageServer:
    """A running `selfvos web`."""

    folder: Path
    weights: Path
    port: int = 0
    cache: Path | None = None
    """Where decoded videos are kept; by default as for every user."""
    process: Any = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, on the port that it had before."""
        command = [sys.executable, "-c", "from selfvos.cli import main; main()", "web", "--no-browser"]
        command += ["--projects", self.folder / "projects", "--root", self.folder / "videos", "--port", str(self.port)]
        command += ["--weights", self.weights, "--device", "cpu"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment |= {"XDG_CACHE_HOME": str(self.cache)} if self.cache else {}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)/", line)
        assert found, line + self.process.communicate(timeout=20)[0]
        self.port = int(found[1])

    @property
    def url(self) -> str:
        """The address of the first screen."""
        return f"http://127.0.0.1:{self.port}/"

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=20)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Ask the server for what the page would ask for."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        method = method or ("GET" if data is None else "POST")
        request = urllib.request.Request(f"{self.url}api/{path}", data, method=method)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = answer.read()
        return json.loads(found) if answer.headers["content-type"].startswith("application/json") else found

    def project(self, video: str = "squares.mp4", *drawn: int) -> str:
        """Make a project in which the red square is drawn on some frames."""
        id = self.ask("projects", {"path": video})["id"]
        for t in drawn:
            self.draw(id, t, red(t))
        return id

    def draw(self, id: str, t: int, mask: np.ndarray) -> None:
        """Draw on a frame."""
        self.ask(f"projects/{id}/masks/{t}", encode_mask(mask), "PUT")

    def mask(self, id: str, t: int) -> np.ndarray:
        """Return what a frame shows."""
        return decode_mask(self.ask(f"projects/{id}/masks/{t}"), (HEIGHT, WIDTH))

    def masks(self, id: str, count: int = COUNT) -> list[np.ndarray]:
        """Return what all frames show."""
        return [self.mask(id, t) for t in range(count)]


def write_scene(path: Path, frames: int = COUNT) -> Path:
    """Write the scene as a video that hardly loses anything."""
    with VideoWriter(path, fps=12.0, crf=5) as writer:
        for t in range(frames):
            writer.write(scene(t % COUNT))
    return path


@dataclass
class Seen:
    """A page, and where on it the pixels of the video are."""

    page: Any
    errors: list[str] = field(default_factory=list)

    def open(self, url: str) -> "Seen":
        """Open a project and wait until its frame is there."""
        self.page.goto(url)
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until a frame is shown."""
        self.page.wait_for_selector("canvas.picture[data-frame]")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where on the page a place of the video is."""
        box = self.page.locator("canvas.picture").bounding_box()
        zoom, left, top = (float(one) for one in self.page.get_attribute("canvas.picture", "data-view").split())
        return box["x"] + left + x * zoom, box["y"] + top + y * zoom

    def stroke(self, *points: tuple[float, float], steps: int = 6) -> None:
        """Draw from place to place of the video with the tool at hand."""
        mouse = self.page.mouse
        mouse.move(*self.place(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.place(*point), steps=steps)
        mouse.up()

    def saved(self) -> None:
        """Wait until all strokes are with the server."""
        self.page.wait_for_function("() => document.querySelector('.saved').textContent === 'Saved'")

    def brush(self, radius: int) -> None:
        """Take the brush, of a radius in pixels of the video."""
        self.page.keyboard.press("b")
        self.page.locator("#size").fill(str(radius))

    def at(self, frame: int) -> None:
        """Wait until a frame is shown."""
        self.page.wait_for_selector(f"canvas.picture[data-frame='{frame}']")

    def idle(self) -> None:
        """Wait until nothing is being tracked or written."""
        self.page.wait_for_selector(".job", state="detached")

    def shown(self) -> np.ndarray:
        """Return which pixels of the video are coloured on the screen: those that change when object 1 is hidden."""
        self.page.mouse.move(2, 2)
        both = []
        for label in ("Hide object 1", "Show object 1"):
            self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
            both.append(np.array(self.page.evaluate(_PIXELS, [WIDTH, HEIGHT]), np.int64))
            self.page.get_by_role("button", name=label, exact=True).click()
            self.page.mouse.move(2, 2)
        return (both[0] != both[1]).reshape(HEIGHT, WIDTH)


def axe(page: Any) -> list[tuple[str, str, str]]:
    """Return the serious findings of axe-core on a page as it is."""
    if not AXE.is_file():
        pytest.skip("no axe-core: npm install --prefix frontend")
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (one["id"], node["html"][:120], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


_PIXELS = """([width, height]) => {
  const canvas = document.querySelector("canvas.picture");
  const [zoom, left, top] = canvas.dataset.view.split(" ").map(Number);
  const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = [];
  for (let row = 0; row < height; row += 1) for (let column = 0; column < width; column += 1) {
    const x = Math.floor((left + (column + 0.5) * zoom) * devicePixelRatio);
    const y = Math.floor((top + (row + 0.5) * zoom) * devicePixelRatio);
    const at = 4 * (y * canvas.width + x);
    pixels.push(image.data[at] * 65536 + image.data[at + 1] * 256 + image.data[at + 2]);
  }
  return pixels;
}"""
