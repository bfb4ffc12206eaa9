"""What people do on the page, done in a real browser."""

import io
import json
import statistics
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.web.journeys.desk import COUNT, HEIGHT, SPEED, SQUARE, WIDTH, axe, red

from selfvos.api import export_choices


def circle(x, y, radius):
    """Pixels whose centre is in a circle."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def distance(a, b):
    """Distance of each pixel's centre to the line from one place to another."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    (x1, y1), (x2, y2) = a, b
    t = np.clip(((columns - x1) * (x2 - x1) + (rows - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2), 0, 1)
    return np.hypot(columns - x1 - t * (x2 - x1), rows - y1 - t * (y2 - y1))


def agreement(found, true):
    return (found & true).sum() / (found | true).sum()


def track(server, seen, key="t"):
    """Track by key until all of it is done."""
    before = len(server.ask("jobs"))
    seen.page.keyboard.press(key)
    tracked(server, seen, before)


def tracked(server, seen, before):
    """Wait until there is one more job, and it is done."""
    end = time.monotonic() + 30
    while len(jobs := server.ask("jobs")) == before or jobs[-1]["state"] in ("waiting", "running"):
        assert time.monotonic() < end, jobs
        time.sleep(0.02)
    assert jobs[-1]["state"] == "done", jobs[-1]
    seen.idle()


def test_a_video_is_opened_from_the_list_and_found_again_among_projects(server, look):
    seen = look()
    seen.page.goto(server.url)
    seen.page.get_by_role("button", name="squares.mp4").click()
    seen.ready()
    assert seen.page.locator("h1").inner_text() == "squares"
    assert "Draw the object" in seen.page.locator(".note").inner_text()
    seen.page.get_by_role("button", name="All projects").click()
    seen.page.locator(".card", has_text=f"0 of {COUNT} frames").first.click()
    seen.ready()


def test_a_file_from_the_browser_is_uploaded_and_opened(server, look):
    seen = look()
    seen.page.goto(server.url)
    seen.page.set_input_files("#picker", server.folder / "videos" / "squares.mp4")
    seen.ready()
    assert seen.page.locator("h1").inner_text() == "squares"


@pytest.mark.parametrize(("zoom", "scale"), [(1, 1), (3.7, 1), (3.7, 2), (1, 2)])
def test_what_is_drawn_is_what_is_seen_and_what_is_kept(server, look, zoom, scale):
    id = server.project()
    seen = look(f"{server.url}p/{id}#frame=2&zoom={zoom}&x=48&y=32", device_scale_factor=scale)
    seen.brush(7)
    seen.stroke((20.3, 18.6))
    seen.saved()
    assert np.array_equal(server.mask(id, 2) == 1, circle(20.3, 18.6, 7))
    seen.stroke((40, 20), (80, 50))
    seen.saved()
    kept = server.mask(id, 2) == 1
    far = distance((40, 20), (80, 50))
    rest = circle(20.3, 18.6, 7)
    assert not (kept & ~rest & (far > 7)).any()
    assert kept[far < 6.5].all()
    assert np.array_equal(seen.shown(), kept)
    assert not server.mask(id, 1).any()
    assert not server.mask(id, 3).any()


def test_eraser_polygon_fill_and_undo(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("p")
    for corner in ((50, 10), (70, 10), (70, 30), (50, 30)):
        seen.page.mouse.click(*seen.place(*corner))
    seen.page.keyboard.press("Enter")
    seen.saved()
    expected = red(0)
    expected[10:30, 50:70] = 1
    assert np.array_equal(server.mask(id, 0), expected)
    seen.page.keyboard.press("e")
    seen.page.locator("#size").fill("4")
    seen.stroke((60, 20))
    seen.saved()
    assert np.array_equal(server.mask(id, 0) == 1, (expected == 1) & ~circle(60, 20, 4))
    seen.page.keyboard.press("f")
    seen.stroke((60, 20))
    seen.saved()
    assert np.array_equal(server.mask(id, 0), expected)
    for _ in range(3):
        seen.page.keyboard.press("Control+z")
        seen.page.wait_for_timeout(150)
    assert np.array_equal(server.mask(id, 0), red(0))
    seen.page.keyboard.press("Control+Shift+Z")
    seen.page.wait_for_timeout(300)
    assert np.array_equal(server.mask(id, 0), expected)


def test_a_rough_line_becomes_an_outline(server, look):
    id = server.project()
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("o")
    middle = 4 + SQUARE / 2, 6 + SQUARE / 2
    angles = np.linspace(0, 2 * np.pi, 30)
    seen.stroke(*[(middle[0] + 12 * np.cos(a), middle[1] + 12 * np.sin(a)) for a in angles], steps=1)
    seen.page.wait_for_selector(".note.drawn", timeout=60_000)
    assert agreement(server.mask(id, 0) == 1, red(0) == 1) > 0.85


def test_track_then_correct_and_track_on_keeps_what_came_before(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    track(server, seen)
    first = server.masks(id)
    assert agreement(first[8] == 1, red(8) == 1) > 0.6
    folder = server.folder / "projects" / id
    kept = {path: path.read_bytes() for path in folder.glob("track/**/*.png")}
    assert len(kept) >= COUNT - 1
    seen.page.keyboard.press("Home")
    for _ in range(8):
        seen.page.keyboard.press("ArrowRight")
    seen.at(8)
    seen.brush(9)
    seen.stroke((60, 50))
    seen.saved()
    assert seen.page.locator(".note").inner_text() == "Drawn by you"
    found = server.ask(f"projects/{id}")
    assert found["stale"] == [[9, COUNT - 1]]
    assert found["keyframes"] == [0, 8]
    track(server, seen)
    again = server.masks(id)
    assert server.ask(f"projects/{id}")["stale"] == []
    assert all(np.array_equal(a, b) for a, b in zip(first[:8], again[:8], strict=True))
    early = [path for path in kept if path.stem.isdigit() and int(path.stem) < 8]
    assert all(path.read_bytes() == kept[path] for path in early)
    assert not np.array_equal(first[9], again[9])


def test_an_object_is_added_later_named_and_hidden(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    track(server, seen)
    seen.page.keyboard.press("Home")
    seen.at(0)
    for _ in range(4):
        seen.page.keyboard.press("ArrowRight")
    seen.at(4)
    seen.page.get_by_role("button", name="Add an object").click()
    name = seen.page.get_by_label("Name of object 2")
    name.fill("blue")
    name.press("Tab")
    seen.page.get_by_role("button", name="Hide blue").wait_for()
    seen.page.keyboard.press("p")
    left, top = 72 - SPEED * 4, 36
    for x, y in ((0, 0), (SQUARE, 0), (SQUARE, SQUARE), (0, SQUARE)):
        seen.page.mouse.click(*seen.place(left + x, top + y))
    seen.page.keyboard.press("Enter")
    seen.saved()
    track(server, seen)
    assert not (server.mask(id, 3) == 2).any()
    assert (server.mask(id, COUNT - 1) == 2).sum() > 40
    assert (server.mask(id, COUNT - 1) == 1).any()
    assert [one["name"] for one in server.ask(f"projects/{id}")["objects"]] == ["object 1", "blue"]


def test_backward_until_a_frame_and_between_two_drawings(server, look):
    id = server.project("squares.mp4", COUNT - 1)
    seen = look(f"{server.url}p/{id}#frame={COUNT - 1}")
    seen.page.get_by_role("button", name="Until").click()
    seen.page.get_by_label("Frame to stop at").fill("10")
    before = len(server.ask("jobs"))
    seen.page.keyboard.press("Enter")
    tracked(server, seen, before)
    assert server.ask(f"projects/{id}")["tracked"][0][0] == 10
    seen.page.keyboard.press("End")
    seen.at(COUNT - 1)
    track(server, seen, "r")
    assert server.ask(f"projects/{id}")["tracked"][0][0] == 0
    assert agreement(server.mask(id, 5) == 1, red(5) == 1) > 0.5
    server.draw(id, 0, red(0))
    seen.page.wait_for_function("() => /draw on frame 0/.test(document.querySelector('[aria-label=Undo]').title)")
    track(server, seen, "g")
    assert server.ask(f"projects/{id}")["stale"] == []


def test_tracking_is_cancelled_and_keeps_what_it_has(server, look):
    id = server.project("long.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("t")
    seen.page.wait_for_function("() => /Tracking [1-9]/.test(document.querySelector('.work').textContent)")
    seen.page.get_by_role("button", name="Stop").click()
    seen.idle()
    (span,) = server.ask(f"projects/{id}")["tracked"]
    assert 0 < span[1] < 399
    assert server.ask("jobs")[-1]["state"] == "cancelled"


def test_who_draws_while_frames_are_tracked_draws_on_the_frame_that_is_seen(server, look):
    id = server.project("long.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("b")
    seen.page.locator("#size").fill("5")
    seen.page.keyboard.press("t")
    seen.page.wait_for_function("() => Number(document.querySelector('canvas.picture').dataset.frame) > 3")
    seen.stroke((80, 56))
    seen.saved()
    frame = int(seen.page.get_attribute("canvas.picture", "data-frame"))
    assert not seen.page.locator("#follow").is_checked()
    assert server.ask(f"projects/{id}")["keyframes"] == [0, frame]
    assert (server.mask(id, frame) == 1)[circle(80, 56, 5)].all()
    seen.page.locator("#follow").check()  # and once more, on another one
    seen.page.wait_for_function(f"() => Number(document.querySelector('canvas.picture').dataset.frame) > {frame}")
    seen.page.locator("#follow").uncheck()
    before = int(seen.page.get_attribute("canvas.picture", "data-frame"))
    seen.page.evaluate("() => document.activeElement.blur()")
    seen.page.keyboard.press("End")  # a frame that the run has yet to come to
    seen.at(399)
    seen.stroke((60, 30))
    seen.saved()
    assert server.ask(f"projects/{id}")["keyframes"] == [0, frame, 399]
    assert np.array_equal(server.mask(id, 399) == 1, circle(60, 30, 5))
    seen.page.keyboard.press("Escape")
    seen.idle()
    found = server.ask(f"projects/{id}")
    (first, last), *_ = found["stale"]
    assert first == frame + 1
    assert last >= before
    assert found["tracked"][0][1] < 399 or found["tracked"][-1][1] == 399


def test_a_reload_while_tracking_shows_the_progress_again(server, look):
    id = server.project("long.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("t")
    seen.page.wait_for_selector(".job progress")
    seen.page.reload()
    seen.ready()
    seen.page.wait_for_function("() => /Tracking [1-9]/.test(document.querySelector('.work').textContent)")
    seen.page.keyboard.press("Escape")
    seen.idle()


def test_a_drawing_survives_the_death_of_the_server(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}#frame=5")
    seen.at(5)
    seen.brush(6)
    seen.stroke((30, 30))
    seen.saved()
    server.kill()
    try:
        seen.stroke((60, 30))
        seen.page.wait_for_function("() => /Waiting/.test(document.querySelector('.saved').textContent)")
    finally:
        server.start()
    seen.saved()
    assert np.array_equal(server.mask(id, 5) == 1, circle(30, 30, 6) | circle(60, 30, 6))
    assert np.array_equal(server.mask(id, 0), red(0))
    seen.page.reload()
    seen.at(5)
    assert np.array_equal(seen.shown(), server.mask(id, 5) == 1)
    assert seen.errors
    assert all("ERR_" in error for error in seen.errors)
    seen.errors.clear()


def test_an_export_arrives_as_a_download_and_every_format_is_a_file(server, look):
    id = server.project("squares.mp4", *range(COUNT))
    seen = look(f"{server.url}p/{id}")
    seen.page.get_by_role("button", name="Export").click()
    row = seen.page.locator("tr[data-format='png']")
    row.wait_for()
    with seen.page.expect_download() as waiting:
        row.get_by_role("button", name="Export").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == COUNT
    for choice in export_choices():
        if server.ask(f"projects/{id}/formats/{choice['name']}")["bytes"] is None:
            continue
        job = server.ask(f"projects/{id}/export", {"format": choice["name"]})
        while (job := server.ask(f"jobs/{job['id']}"))["state"] in ("waiting", "running"):
            time.sleep(0.02)
        assert job["state"] == "done", (choice, job["error"])
        file = server.ask(f"exports/{job['id']}")
        assert len(file if isinstance(file, bytes) else json.dumps(file)) > 20
        if not choice["suffix"]:
            assert zipfile.ZipFile(io.BytesIO(file)).testzip() is None


def test_a_drawing_in_one_tab_shows_in_the_other(server, look):
    id = server.project("squares.mp4", 0)
    here, there = look(f"{server.url}p/{id}"), look(f"{server.url}p/{id}")
    here.brush(8)
    here.stroke((60, 30))
    here.saved()
    there.page.wait_for_function("() => /draw on frame 0/.test(document.querySelector('[aria-label=Undo]').title)")
    there.page.wait_for_timeout(300)
    assert np.array_equal(there.shown(), server.mask(id, 0) == 1)


def test_all_of_it_by_keyboard_alone(server, look):
    id = server.project()
    seen = look(f"{server.url}p/{id}")
    keys = seen.page.keyboard
    for key in ("b", "]", "[", "x", "l", "l", "k", "L", "x"):
        keys.press(key)
    seen.saved()
    drawn = server.mask(id, 0) == 1
    assert drawn.sum() > 400
    track(server, seen)
    keys.press("?")
    seen.page.get_by_role("dialog", name="Keys").wait_for()
    keys.press("Escape")
    keys.press("Control+z")
    seen.page.wait_for_function("() => document.querySelector('[aria-label=Undo]').title === 'Nothing to undo'")
    assert server.ask(f"projects/{id}")["keyframes"] == []
    for _ in range(40):  # everything that can be pressed can be reached
        keys.press("Tab")
        if seen.page.evaluate("() => document.activeElement.textContent.trim()") == "Export":
            break
    else:
        pytest.fail("Tab never came to Export")
    keys.press("Enter")
    seen.page.get_by_role("dialog", name="Export").wait_for()


def test_a_phone_shows_everything_and_a_finger_draws(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}", viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2)
    assert seen.page.evaluate("() => document.documentElement.scrollWidth") == 390
    seen.page.touchscreen.tap(*seen.place(60, 40))
    seen.saved()
    assert (server.mask(id, 0) == 1)[40, 60]
    before = len(server.ask("jobs"))
    seen.page.get_by_role("button", name="Forward").click()
    tracked(server, seen, before)
    seen.page.goto(server.url)
    seen.page.wait_for_selector(".card")
    assert seen.page.evaluate("() => document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast_and_names_for_all(server, look, scheme):
    id = server.project("squares.mp4", 0, 5)
    seen = look(f"{server.url}p/{id}", color_scheme=scheme)
    back = seen.page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(back) < 150) == (scheme == "dark")
    problems = axe(seen.page)
    seen.page.get_by_role("button", name="Export").click()
    seen.page.wait_for_selector("tr[data-format]")
    problems += axe(seen.page)
    seen.page.goto(server.url)
    seen.page.wait_for_selector(".card")
    problems += axe(seen.page)
    assert problems == []


def test_scrubbing_and_brush_are_quick_and_the_server_small(server, look):
    id = server.project("long.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.brush(20)
    moves = seen.page.evaluate(_MOVES, list(seen.place(30, 30)))
    assert statistics.median(moves) < 16, moves
    seen.saved()
    took = []
    for frame in (350, 20, 200, 399, 77, 310, 150, 5):
        begin = time.monotonic()
        seen.page.evaluate(_SEEK, frame / 400)
        seen.at(int(seen.page.get_attribute(".timeline", "aria-valuenow")))
        took.append(time.monotonic() - begin)
    assert statistics.median(took) < 0.5, took
    status = Path(f"/proc/{server.process.pid}/status")
    if status.is_file():
        (resident,) = (int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        assert resident * 1024 < 200e6


def test_a_frame_that_is_gone_back_to_stays_until_the_next_is_there(server, look):
    seen = look(f"{server.url}p/{server.project('long.mp4', 0)}")
    for frame in [*range(1, 47), 0]:  # as many as are kept, and the first of them again
        seen.page.evaluate(_SEEK, (frame + 0.5) / 400)
        seen.at(frame)
    seen.page.evaluate(_SEEK, 0.5)
    for _ in range(4):  # drawn anew before the other one has come; a complaint of the page fails the test
        seen.page.evaluate(_DRAWN_ANEW)
    seen.at(200)


_DRAWN_ANEW = """() => new Promise((told) => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(told));
})"""
_MOVES = """([x, y]) => {
  const canvas = document.querySelector("canvas.picture");
  const fire = (kind, i) => canvas.dispatchEvent(new PointerEvent(kind, { clientX: x + 3 * i, clientY: y + i }));
  canvas.setPointerCapture = () => undefined;
  fire("pointerdown", 0);
  const took = [];
  for (let i = 1; i < 60; i += 1) {
    const begin = performance.now();
    fire("pointermove", i);
    took.push(performance.now() - begin);
  }
  fire("pointerup", 60);
  return took;
}"""
_SEEK = """(share) => {
  const line = document.querySelector(".timeline");
  line.setPointerCapture = () => undefined;
  const box = line.getBoundingClientRect();
  line.dispatchEvent(new PointerEvent("pointerdown", { clientX: box.left + share * box.width, clientY: box.top + 4 }));
}"""
