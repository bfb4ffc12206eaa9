"""The film of the page in the README: draw, track, correct, export, on the clip that ships.

`make film` takes it anew, with the weights that ship; otherwise the same journey runs with quick ones, and the film
goes to a temporary folder.
"""

import io
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.web.journeys.desk import PageServer, Seen

from selfvos import api
from selfvos.data.mask_png import read_mask
from selfvos.data.sample import demo_mask

SIZE = (960, 600)
SECONDS = 20
MOST_BYTES = 2_000_000
POINTER = """() => {
  const show = () => {
    const dot = document.createElement("div");
    Object.assign(dot.style, {position: "fixed", width: "22px", height: "22px", borderRadius: "50%", zIndex: 9999,
      background: "rgba(255,190,0,.55)", border: "2px solid #fff", boxShadow: "0 0 3px #000", pointerEvents: "none",
      transform: "translate(-50%,-50%)", left: "640px", top: "400px"});
    const word = document.createElement("div");
    word.id = "film-word";
    Object.assign(word.style, {position: "fixed", left: "50%", top: "640px", transform: "translateX(-50%)", zIndex: 9,
      font: "600 22px system-ui, sans-serif", padding: "8px 20px", borderRadius: "22px", color: "#fff",
      background: "rgba(0,0,0,.72)", pointerEvents: "none", display: "none"});
    document.documentElement.append(word, dot);
    document.addEventListener("pointermove", (event) => {
      dot.style.left = event.clientX + "px";
      dot.style.top = event.clientY + "px";
    }, true);
  };
  document.documentElement && document.body ? show() : document.addEventListener("DOMContentLoaded", show);
}"""


@dataclass
class Camera:
    """Takes pictures of the page, and keeps how long each is shown."""

    page: Any
    pictures: list[Image.Image] = field(default_factory=list)
    shown_ms: list[int] = field(default_factory=list)

    def shoot(self, ms: int = 90) -> None:
        """Take a picture that is shown so long."""
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        if self.pictures and np.array_equal(picture, self.pictures[-1]):
            self.shown_ms[-1] += ms
            return
        self.pictures.append(picture)
        self.shown_ms.append(ms)

    def say(self, word: str) -> None:
        """Write a word over the picture."""
        self.page.evaluate(
            "word => Object.assign(document.querySelector('#film-word'), {textContent: word}).style.display = 'block'",
            word,
        )

    def go(self, x: float, y: float) -> None:
        """Move the pointer there as a hand would."""
        self.page.mouse.move(x, y, steps=4)
        self.shoot(220)

    def click(self, locator: Any) -> None:
        """Go to something and click it."""
        box = locator.bounding_box()
        self.go(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        locator.click()
        self.shoot(350)

    def save(self, path: Path) -> None:
        """Write the film, as long as it is meant to be and small enough for a README."""
        scale = 1000 * SECONDS / sum(self.shown_ms)
        shown = [max(20, round(ms * scale)) for ms in self.shown_ms]
        for quality in (70, 60, 50, 40, 30):
            first, *others = self.pictures
            first.save(path, save_all=True, append_images=others, duration=shown, loop=0, quality=quality, method=4)
            if path.stat().st_size <= MOST_BYTES:
                return
        pytest.fail(f"{path} has {path.stat().st_size} bytes")


@pytest.fixture
def studio(tmp_path, quick_weights):
    """Where the film goes, the server that it is taken of, and the last frame that is tracked."""
    wanted = os.environ.get("SELFVOS_FILM")
    (tmp_path / "videos").mkdir()
    os.symlink(api.demo_clip(), tmp_path / "videos" / "cockatoo.mp4")
    server = PageServer(tmp_path, Path("default") if wanted else quick_weights)
    server.start()
    yield Path(wanted or tmp_path / "page.webp"), server, 36 if wanted else 6
    server.stop()


@pytest.mark.slow
def test_film_of_a_clip_drawn_tracked_corrected_and_exported(studio, look):
    out, server, last = studio
    seen = look(viewport={"width": 1280, "height": 800})
    seen.page.add_init_script(f"({POINTER})()")
    seen.page.goto(server.url)
    camera = Camera(seen.page)
    camera.shoot(900)
    camera.click(seen.page.get_by_role("button", name="Try the sample clip"))
    seen.ready()
    id = seen.page.url.split("/p/")[1].split("#")[0]
    seen.page.locator("#quality").select_option("fast")
    seen.page.set_default_timeout(120_000)  # seconds a frame on a busy machine are not what is filmed
    draw(camera, seen)
    track(camera, seen, server, last, "Track")
    correct(camera, seen, server, id, last)
    export(camera, seen)
    camera.save(out)
    film = Image.open(out)
    assert film.size == SIZE
    assert film.n_frames > 20


def draw(camera: Camera, seen: Seen) -> None:
    """A rough line around the bird that snaps to its edges."""
    camera.say("Draw: a rough line snaps to the edges")
    seen.page.keyboard.press("o")
    points = around(read_mask(demo_mask()) == 1)
    mouse = seen.page.mouse
    camera.go(*seen.place(*points[0]))
    mouse.down()
    for point in points[1:]:
        mouse.move(*seen.place(*point), steps=2)
        camera.shoot(60)
    mouse.up()
    seen.page.wait_for_selector(".note.drawn", timeout=120_000)
    seen.page.wait_for_timeout(300)
    camera.shoot(1500)


def track(camera: Camera, seen: Seen, server: PageServer, last: int, word: str) -> None:
    """Until a frame; masks come while one looks."""
    camera.say(word)
    before = len(server.ask("jobs"))
    camera.click(seen.page.get_by_role("button", name="Until"))
    seen.page.get_by_label("Frame to stop at").fill(str(last))
    camera.shoot(500)
    seen.page.keyboard.press("Enter")
    end = time.monotonic() + 300
    while len(jobs := server.ask("jobs")) == before or jobs[-1]["state"] in ("waiting", "running"):
        assert time.monotonic() < end, jobs
        camera.shoot(110)
        seen.page.wait_for_timeout(250)
    assert jobs[-1]["state"] == "done", jobs[-1]
    seen.idle()
    seen.page.evaluate("() => document.activeElement.blur()")
    camera.shoot(900)


def correct(camera: Camera, seen: Seen, server: PageServer, id: str, last: int) -> None:
    """Draw on a frame on the way, and track on from there."""
    camera.say("Look, and correct any frame")
    seen.page.keyboard.press("Home")
    seen.at(0)
    place = max(1, last // 2)
    for t in range(1, place + 1):
        seen.page.keyboard.press("ArrowRight")
        seen.at(t)
        camera.shoot(60)
    seen.page.keyboard.press("e")
    seen.page.locator("#size").fill("14")
    height, width = read_mask(demo_mask()).shape
    camera.go(*seen.place(0.47 * width, 0.97 * height))
    seen.page.mouse.down()
    for share in (0.5, 0.55, 0.6, 0.65, 0.7):
        seen.page.mouse.move(*seen.place(share * width, 0.97 * height), steps=2)
        camera.shoot(110)
    seen.page.mouse.up()
    seen.saved()
    camera.shoot(1200)
    assert place in server.ask(f"projects/{id}")["keyframes"]
    track(camera, seen, server, last, "Track on from there")


def export(camera: Camera, seen: Seen) -> None:
    """A format of the list."""
    camera.say("Export")
    camera.click(seen.page.get_by_role("button", name="Export"))
    row = seen.page.locator("tr[data-format='coco']")
    row.wait_for()
    sizes = "() => document.querySelector(\"tr[data-format='coco'] td.number\").textContent !== '…'"
    seen.page.wait_for_function(sizes, timeout=200_000)
    camera.shoot(1500)
    with seen.page.expect_download(timeout=200_000):
        camera.click(row.get_by_role("button", name="Export"))
    seen.page.wait_for_timeout(300)
    camera.shoot(1800)


def around(mask: np.ndarray, count: int = 40) -> list[tuple[float, float]]:
    """Points a little outside of a region, once around it."""
    rows, columns = np.nonzero(mask)
    y, x = rows.mean(), columns.mean()
    angles, far = np.arctan2(rows - y, columns - x), np.hypot(rows - y, columns - x)
    points = []
    for angle in np.linspace(-np.pi, np.pi, count):
        near = np.abs(np.angle(np.exp(1j * (angles - angle)))) < np.pi / count
        reach = far[near].max() + 5
        points.append((float(x + reach * np.cos(angle)), float(y + reach * np.sin(angle))))
    height, width = mask.shape
    return [(min(max(a, 2), width - 3), min(max(b, 2), height - 3)) for a, b in points]
