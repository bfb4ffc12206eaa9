"""The pictures of the page in the documentation: a journey through the clip that ships.

`SELFVOS_PICTURES=docs/figures pytest tests/web/journeys/test_pictures.py` makes them anew, with the weights that
ship; otherwise the same journey runs with quick ones and the pictures go to a temporary folder.
"""

import os
import time
from pathlib import Path

import pytest
from PIL import Image
from tests.web.journeys.desk import PageServer

from selfvos import api
from selfvos.data.mask_png import read_mask
from selfvos.data.sample import demo_mask
from selfvos.web.codec import encode_mask


@pytest.fixture
def gallery(tmp_path, quick_weights):
    """Where pictures go, and the server that they are taken of."""
    wanted = os.environ.get("SELFVOS_PICTURES")
    out = Path(wanted or tmp_path / "figures")
    out.mkdir(exist_ok=True)
    (tmp_path / "videos").mkdir()
    os.symlink(api.demo_clip(), tmp_path / "videos" / "cockatoo.mp4")
    server = PageServer(tmp_path, Path("default") if wanted else quick_weights)
    server.start()
    yield out, server, 56 if wanted else 8
    server.stop()


def test_pictures_of_the_start_and_of_the_editor(gallery, look):
    out, server, last = gallery
    seen = look(viewport={"width": 1280, "height": 800})
    seen.page.goto(server.url)
    seen.page.get_by_role("button", name="Try the sample clip").click()
    seen.ready()
    id = seen.page.url.split("/p/")[1].split("#")[0]
    server.ask(f"projects/{id}/masks/0", encode_mask(read_mask(demo_mask())), "PUT")
    seen.page.wait_for_selector(".things li")
    name = seen.page.get_by_label("Name of object 1")
    name.fill("cockatoo")
    name.press("Tab")
    job = server.ask(f"projects/{id}/track", {"start": 0, "end": last, "quality": "fast"})["id"]
    end = time.monotonic() + 180
    while server.ask(f"jobs/{job}")["state"] != "done" and time.monotonic() < end:
        time.sleep(0.1)
    seen.idle()
    seen.at(last)
    for _ in range(4 if last > 40 else 0):  # back to where the bird is all in the picture
        seen.page.keyboard.press("Shift+ArrowLeft")
    seen.page.locator("#quality").select_option("fast")
    seen.page.evaluate("() => document.activeElement.blur()")
    seen.page.wait_for_timeout(3300)  # until no message is shown
    save(seen.page, out / "page_editor.png")
    seen.page.get_by_role("button", name="All projects").click()
    seen.page.wait_for_selector(".card img")
    seen.page.wait_for_timeout(500)
    save(seen.page, out / "page_start.png")


@pytest.mark.timeout(1200)
def test_picture_of_learning(gallery, look):
    out, server, last = gallery
    if last < 40:
        pytest.skip("colours cannot learn: SELFVOS_PICTURES takes the weights that ship")
    seen = look(viewport={"width": 1280, "height": 800})
    id = server.ask("projects/demo", {})["id"]
    seen.page.goto(f"{server.url}learn#project={id}")
    seen.page.get_by_label("Steps").fill("40")
    seen.page.get_by_role("button", name="Learn from 1 video").click()
    seen.page.wait_for_function(
        "() => /^Step (2[1-9]|3[0-9]) of/.test(document.querySelector('.learning [role=status]')?.textContent)",
        timeout=1_000_000,
    )
    seen.page.evaluate("() => document.activeElement.blur()")
    seen.page.wait_for_timeout(1500)
    save(seen.page, out / "page_learn.png")
    seen.page.get_by_role("button", name="Stop").click()
    seen.page.wait_for_selector(".learning[data-state='stopped']", timeout=60_000)


def save(page, path):
    page.screenshot(path=path)
    picture = Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    assert path.stat().st_size < 200_000, path.stat().st_size
