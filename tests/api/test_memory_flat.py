"""What tracking took is given back: video after video in one process, trackers and projects that are closed."""

import gc
import platform
import sys
import weakref

import numpy as np
import pytest
import torch
from tests import tiny

import selfvos
from selfvos import api
from selfvos.api.memory import give_back, keeping_blocks, share_arenas
from selfvos.errors import UsageError

VIDEOS, FRAMES = 50, 3
FRAME_SIDE = 64


@pytest.fixture(scope="module")
def model():
    return selfvos.load("lab-patches")


@pytest.fixture(scope="module")
def config(model):
    return selfvos.override(selfvos.make_tracker(model).config, [f"frame.short_side_px={FRAME_SIDE}"])


def resident_bytes():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except FileNotFoundError:
        pytest.skip("how much memory is taken is asked of /proc, which only Linux has")


def tensor_bytes():
    gc.collect()
    # By type, for asking proxies among all objects what they are would import what they stand for.
    return sum(one.nbytes for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter))


def test_fifty_videos_in_one_process_take_no_more_than_a_few(model, config):
    frames = [tiny.picture(t) for t in range(FRAMES)]

    def track():
        assert len(list(selfvos.track(model, frames, tiny.truth(0), config=config))) == FRAMES

    for _ in range(5):
        track()
    tensors, before = tensor_bytes(), resident_bytes()
    for _ in range(VIDEOS):
        track()
    assert tensor_bytes() == tensors
    # The results of one frame kept of each video would be 50 times 16 KB of frames alone; memory of trackers, far more.
    assert resident_bytes() - before < 16 * 2**20


def test_a_tracker_gives_its_memory_back_while_something_still_refers_to_it(model, config):
    frames = [tiny.picture(t) for t in range(FRAMES)]
    fresh = selfvos.Tracker(model, config)
    before = tensor_bytes()
    with fresh as tracker:
        tracker.start(frames[0], tiny.truth(0))
        masks = [tracker.step(frame) for frame in frames[1:]]
        assert tensor_bytes() > before + 4 * 2 * FRAME_SIDE**2 // 64
    assert tensor_bytes() == before
    assert fresh.objects == ()
    with pytest.raises(UsageError, match="no first mask"):
        fresh.step(frames[1])
    fresh.start(frames[0], tiny.truth(0))
    assert all(np.array_equal(fresh.step(frame), mask) for frame, mask in zip(frames[1:], masks, strict=True))


def test_results_are_those_of_one_who_keeps_nothing(model, config):
    """Whoever does not keep a result lets it go: the next frame comes when the one before is gone."""
    kept = None
    for tracked in selfvos.track(model, [tiny.picture(t) for t in range(FRAMES)], tiny.truth(0), config=config):
        assert kept is None or kept() is None
        kept = weakref.ref(tracked)
        del tracked


def test_projects_are_let_go_and_can_be_opened_again(tmp_path):
    video = tiny.frame_folder(tmp_path / "clip", 4)
    api.Project.create(tmp_path / "project", video).close()
    for turn in range(5):
        with api.Project.open(tmp_path / "project") as project:
            project.draw(0, tiny.truth(turn % 3))
            assert next(iter(project.source)).rgb.shape == (tiny.SIDE, tiny.SIDE, 3)
            kept = weakref.ref(project)
        del project
        gc.collect()
        assert kept() is None


def test_what_lies_free_between_blocks_in_use_goes_back():
    """Threads leave arenas behind that are nearly empty: the C library keeps them, unless it is asked."""
    before = resident_bytes()
    blocks = [bytearray(100_000) for _ in range(2000)]
    del blocks[1::2], blocks[1::2], blocks[1::2]
    held = resident_bytes() - before
    give_back()
    left = resident_bytes() - before
    assert left < 0.5 * held, (left, held)


def test_threads_are_told_to_share_arenas_where_the_c_library_has_them():
    told = share_arenas()
    assert told == (sys.platform == "linux" and platform.libc_ver()[0] == "glibc")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_blocks_of_a_step_are_taken_again_by_the_next_without_being_cleared():
    resource = pytest.importorskip("resource")

    def faults(steps: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            blocks = [torch.ones(40 * 2**20, dtype=torch.uint8) for _ in range(4)]
            del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    anew, before = faults(6), resident_bytes()
    with keeping_blocks():
        faults(3)
        kept, held = faults(6), resident_bytes()
    assert kept < 0.2 * anew, (kept, anew)
    assert held - before > 100 * 2**20
    assert resident_bytes() - before < 20 * 2**20
