"""A page server, and a headless Chromium that looks at it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.journeys.desk import HEIGHT, PageServer, Seen, write_scene

from selfvos import api
from selfvos.models.weights import save_weights
from selfvos.models.weights_notes import Quality, WeightsNotes


@pytest.fixture(scope="session")
def quick_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that match colours on few pixels: a frame takes milliseconds."""
    small = Quality(track={"frame": {"short_side_px": HEIGHT}})
    notes = WeightsNotes(quality=dict.fromkeys(("fast", "balanced", "best"), small))
    path = tmp_path_factory.mktemp("weights") / "colours.safetensors"
    save_weights(path, api.load("lab-patches", device="cpu"), notes=notes)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, quick_weights: Path) -> Iterator[PageServer]:
    """A server with two videos to open."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "videos").mkdir()
    write_scene(folder / "videos" / "squares.mp4")
    write_scene(folder / "videos" / "long.mp4", 400)
    server = PageServer(folder, quick_weights)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install -y chromium")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason='no Playwright: pip install "selfvos[dev]"')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Any) -> Iterator[Any]:
    """Open pages; at the end none of them may have complained."""
    seen: list[Seen] = []

    def make(url: str | None = None, **options: Any) -> Seen:
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
        context.set_default_timeout(20_000)
        one = Seen(context.new_page())
        one.page.on("console", lambda message: message.type == "error" and one.errors.append(message.text))
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        seen.append(one)
        return one if url is None else one.open(url)

    yield make
    for one in seen:
        one.page.context.close()
    assert [one.errors for one in seen] == [[] for _ in seen]
