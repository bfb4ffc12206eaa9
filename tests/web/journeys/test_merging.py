"""Objects that were two things in the page and are one, and the other way round; and what fill encloses."""

import numpy as np
from tests.web.journeys.desk import COUNT, HEIGHT, WIDTH, axe, red
from tests.web.journeys.test_journeys import track


def both(t):
    mask = red(t)
    mask[36:56, 72 - 3 * t : 92 - 3 * t] = 2
    return mask


def test_two_objects_are_merged_and_one_is_split_again(server, look):
    id = server.project()
    server.draw(id, 0, both(0))
    seen = look(f"{server.url}p/{id}")
    track(server, seen)
    before = server.masks(id)
    assert set(np.unique(before[5])) == {0, 1, 2}

    seen.page.get_by_role("button", name="More for object 2").click()
    seen.page.get_by_label("into", exact=True).select_option("object 1")
    assert axe(seen.page) == []
    seen.page.get_by_role("button", name="Merge", exact=True).click()
    seen.page.get_by_label("Name of object 2").wait_for(state="detached")
    assert all(np.array_equal(now, was > 0) for now, was in zip(server.masks(id), before, strict=True))
    assert server.ask(f"projects/{id}")["stale"] == []

    seen.page.keyboard.press("Control+z")
    seen.page.get_by_label("Name of object 2").wait_for()
    assert all(np.array_equal(now, was) for now, was in zip(server.masks(id), before, strict=True))
    seen.page.keyboard.press("Control+y")
    seen.page.get_by_label("Name of object 2").wait_for(state="detached")

    seen.page.keyboard.press("Home")
    seen.at(0)
    seen.page.get_by_role("button", name="More for object 1").click()
    seen.page.get_by_role("button", name="Choose a piece").click()
    seen.page.keyboard.press("Escape")
    assert "Drawn by you" in seen.page.locator(".note").inner_text()
    seen.page.get_by_role("button", name="More for object 1").click()
    seen.page.get_by_role("button", name="Choose a piece").click()
    assert "Click the piece" in seen.page.locator(".note").inner_text()
    seen.page.mouse.click(*seen.place(82, 46))
    seen.page.get_by_label("Name of object 3").wait_for()
    assert np.array_equal(server.mask(id, 0), np.where(both(0) == 2, 3, both(0)))
    assert server.ask(f"projects/{id}")["stale"] == [[1, COUNT - 1]]


def test_an_object_that_is_alone_cannot_be_merged(server, look):
    id = server.project("squares.mp4", 0)
    seen = look(f"{server.url}p/{id}")
    seen.page.get_by_role("button", name="More for object 1").click()
    assert seen.page.get_by_role("button", name="Merge", exact=True).is_disabled()
    seen.page.get_by_text("There is no other object").wait_for()
    seen.page.get_by_role("button", name="Remove").click()
    seen.page.get_by_text("None yet").wait_for()
    assert not server.mask(id, 0).any()


def test_a_fill_through_a_gap_takes_nothing_but_says_so(server, look):
    id = server.project()
    ring = np.zeros((HEIGHT, WIDTH), np.uint16)
    ring[10:40, 20:60] = 1
    ring[12:38, 22:58] = 0
    gap = ring.copy()
    gap[24, 20:22] = 0
    server.draw(id, 0, gap)
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("f")
    seen.page.mouse.click(*seen.place(40, 25))
    seen.page.get_by_text("the outline has a gap").wait_for()
    assert np.array_equal(server.mask(id, 0), gap)
    seen.page.keyboard.down("Shift")
    seen.page.mouse.click(*seen.place(40, 25))
    seen.page.keyboard.up("Shift")
    seen.saved()
    assert (server.mask(id, 0) == 1).all()
    server.draw(id, 0, ring)
    seen.page.reload()
    seen.ready()
    seen.page.keyboard.press("f")
    seen.page.mouse.click(*seen.place(40, 25))
    seen.saved()
    seen.page.wait_for_function("() => /draw on frame 0/.test(document.querySelector('[aria-label=Undo]').title)")
    assert (server.mask(id, 0)[12:38, 22:58] == 1).all()
    assert not server.mask(id, 0)[:10].any()


def test_a_pixel_tells_where_it_comes_from(server, look):
    id = server.project()
    server.draw(id, 0, both(0))
    seen = look(f"{server.url}p/{id}")
    seen.page.keyboard.press("w")
    seen.page.mouse.click(*seen.place(14, 16))
    seen.page.get_by_text("no mask is known before frame 0").wait_for()
    track(server, seen)
    seen.at(COUNT - 1)
    masks = server.masks(id)
    seen.page.get_by_role("button", name="Why this label?").click()
    assert "Click a pixel" in seen.page.locator(".note").inner_text()
    x, y = 4 + 3 * (COUNT - 1) + 10, 16
    seen.page.mouse.click(*seen.place(x, y))
    picture = seen.page.get_by_role("img", name="and the frames that its label was taken from")
    picture.wait_for()
    seen.page.wait_for_function("() => document.querySelector('dialog img').naturalWidth > 200")
    assert axe(seen.page) == []
    result = server.ask("jobs")[-1]["result"]
    assert (result["frame"], result["at"], result["object"]) == (COUNT - 1, [x, y], 1)
    assert sum(one["weight"] for one in result["memory"]) > 0.99
    assert "file" not in result
    assert all(np.array_equal(now, was) for now, was in zip(server.masks(id), masks, strict=True))
