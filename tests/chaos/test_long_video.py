"""Twenty minutes of video in one go: memory that does not grow with it, results from the start."""

import time
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import SIDE

import selfvos
from selfvos import api

FRAMES, SETTLED = 30_000, 3_000
OBJECTS = 3


def picture(t):
    """Three bars that sway, each at its own pace, over a ground that changes a little all the time."""
    rgb = np.random.default_rng(t % 97).integers(60, 90, (SIDE, SIDE, 3)).astype(np.uint8)
    for number, colour in enumerate([(230, 40, 40), (40, 230, 40), (40, 40, 230)]):
        left = int(20 + 12 * np.sin((t + 31 * number) / (9 + number)))
        rgb[6 + 20 * number : 16 + 20 * number, left : left + 20] = colour
    return rgb


def first_mask():
    red, green, blue = (picture(0).argmax(axis=2) == channel for channel in range(OBJECTS))
    bright = picture(0).max(axis=2) > 200
    return (bright * (red + 2 * green + 3 * blue)).astype(np.uint8)


def resident_bytes():
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except FileNotFoundError:
        pytest.skip("how much memory is taken is asked of /proc, which only Linux has")


def track(folder, frames):
    """Track so many frames into a folder; return when the first came, and memory at every thousandth."""
    model = selfvos.load("lab-patches")
    config = selfvos.override(selfvos.make_tracker(model).config, [f"frame.short_side_px={SIDE}"])
    shot = api.Shot(video=(picture(t) for t in range(frames)), masks=first_mask())
    begin, first, held, index = time.perf_counter(), None, [], -1
    for tracked in api.track_to(model, shot, folder, config=config):
        first = first or time.perf_counter() - begin
        index, objects = tracked.frame.index, [one.id for one in tracked.objects]
        if index % (frames // 30) == 0:
            held.append((index, resident_bytes()))
    assert (index, objects) == (frames - 1, [1, 2, 3])
    return first, held


def grown_per_frame(held, settled):
    counts, bytes_held = np.array([one for one in held if one[0] >= settled]).T
    return np.polyfit(counts, bytes_held, 1)[0]


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_thousand_frames_take_no_more_memory_than_three_thousand(tmp_path):
    first, held = track(tmp_path / "out", FRAMES)
    slope = grown_per_frame(held, SETTLED)
    print(f"first result after {first:.1f} s; {slope:.0f} bytes a frame; at the end {held[-1][1] / 2**20:.0f} MB")
    assert first < 5
    assert slope < 1024
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == FRAMES
