"""Learning on the page, in a real browser: chosen, watched, stopped, gone on with, and tracked with."""

import os
import time
from pathlib import Path

import pytest
import torch
from tests.web.journeys.desk import HEIGHT, PageServer, axe, write_scene

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import save_weights
from selfvos.models.weights_notes import Quality, WeightsNotes

SIZES = {"1440": (1440, 900), "1024": (1024, 768), "390": (390, 844)}


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A server whose weights can learn."""
    folder = tmp_path_factory.mktemp("school")
    (folder / "videos").mkdir()
    write_scene(folder / "videos" / "squares.mp4")
    write_scene(folder / "videos" / "other.mp4")
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none"))
    way = {"feature": {"stage": "layer3"}, "refine": {"rounds": 0}, "frame": {"short_side_px": HEIGHT}}
    quality = dict.fromkeys(("fast", "balanced", "best"), Quality(track=way))
    save_weights(folder / "small.safetensors", model, notes=WeightsNotes(track=way, quality=quality))
    server = PageServer(folder, folder / "small.safetensors", cache=folder / "cache")
    server.start()
    yield server
    server.stop()


def card(seen, state, timeout=240_000):
    """Wait until the first learning is in a state."""
    seen.page.wait_for_selector(f".learning[data-state='{state}']", timeout=timeout)
    return seen.page.locator(".learning").first


def test_learning_is_chosen_watched_stopped_gone_on_with_and_tracked_with(school, look):
    id = school.project("squares.mp4", 0)
    seen = look(f"{school.url}p/{id}")
    assert seen.page.locator("#weights").is_hidden()
    seen.page.get_by_role("link", name="Loses the object? Learn").click()
    begin = seen.page.get_by_role("button", name="Learn from 1 video")
    begin.wait_for()  # the project that one comes from is chosen already
    seen.page.get_by_role("button", name="other.mp4").click()
    seen.page.get_by_role("button", name="Learn from 2 videos").wait_for()
    seen.page.get_by_role("button", name="Leave out other.mp4").click()
    seen.page.get_by_label("Steps").fill("4")
    begin.click()
    card(seen, "running")
    seen.page.wait_for_function(
        "() => /^Step [1-3] of 4 · loss/.test(document.querySelector('.learning [role=status]').textContent)",
        timeout=240_000,
    )
    seen.page.get_by_role("button", name="Stop").click()
    card(seen, "stopped")
    learning = school.ask("learning")[0]["id"]
    steps = [point["step"] for point in school.ask(f"learning/{learning}")["curve"]]
    assert steps == list(range(1, len(steps) + 1))
    assert 0 < len(steps) < 4
    seen.page.reload()
    card(seen, "stopped").get_by_text(f"After {len(steps)} of 4 steps").wait_for()
    seen.page.get_by_role("button", name="Go on").click()
    card(seen, "done")
    assert seen.page.locator(".sheets img").count() == 2
    assert "at step 4 of 4" in seen.page.locator(".curve").get_attribute("aria-label")
    assert [point["step"] for point in school.ask(f"learning/{learning}")["curve"]] == [1, 2, 3, 4]
    seen.open(f"{school.url}p/{id}")
    seen.page.locator("#weights").select_option(label="Learned: squares")
    before = len(school.ask("jobs"))
    seen.page.get_by_role("button", name="Forward").click()
    end = time.monotonic() + 60
    while len(jobs := school.ask("jobs")) == before or jobs[-1]["state"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert jobs[-1]["state"] == "done", jobs[-1]
    assert school.ask(f"projects/{id}")["tracked"] == [[0, 15]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_screen_fits_and_has_names_and_contrast(school, look, scheme, size, tmp_path):
    school.project("squares.mp4", 0)
    width, height = SIZES[size]
    seen = look(viewport={"width": width, "height": height}, color_scheme=scheme)
    seen.page.goto(f"{school.url}learn")
    seen.page.wait_for_selector(".learnings li")
    seen.page.wait_for_selector(".files li")
    seen.page.wait_for_timeout(500)
    assert seen.page.evaluate("() => document.documentElement.scrollWidth") == width
    folder = Path(os.environ.get("SELFVOS_SCREENS", tmp_path))
    seen.page.screenshot(path=folder / f"learn_{size}_{scheme}.png")
    assert axe(seen.page) == []
