"""The next frame is encoded while this one is tracked, and nobody can tell by the masks."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.errors import MaskMismatch
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.threads import computing, kernel_threads
from selfvos.ops.whitening import WhitenConfig
from selfvos.tracking.encoded_ahead import EncodedAhead, Encoder
from selfvos.tracking.encoding import FeatureCache, FrameEncoding
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.settings import (
    FeatureConfig,
    FrameConfig,
    LabelConfig,
    MemoryConfig,
    RefineConfig,
    ShowConfig,
    SystemSpec,
    TrackConfig,
)
from selfvos.tracking.tracker import Tracker
from selfvos.types import Frame

SIZE = 64
PLAIN = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=SIZE, precision="float32"),
    memory=MemoryConfig(last=3),
)


def drawn(t: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured square that moves over a textured ground, and its mask."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(20, 120, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    rgb[20:44, 4 + 3 * t : 28 + 3 * t] = rng.integers(130, 250, (24, 24, 3), dtype=np.uint8)
    mask[20:44, 4 + 3 * t : 28 + 3 * t] = 1
    return rgb, mask


MASK = drawn(0)[1]
CORRECTED = drawn(5)[1]


@pytest.fixture(autouse=True)
def two_threads():
    with computing(1, kernels=lambda: 2):  # one of torch's: teams of two crawl where all tests run side by side
        yield


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()


@pytest.fixture(scope="module")
def colours():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


def walk(frames: int = 7) -> list[Frame]:
    return [Frame(drawn(t)[0], t, f"{t:05d}", t / 10) for t in range(frames)]


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "selfvos-ahead"]


def tracking(tracker: Tracker, frames):
    for frame in tracker.ahead(frames):
        yield tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, MASK)


def tracked(tracker: Tracker, frames) -> list[np.ndarray]:
    return list(tracking(tracker, frames))


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        replace(
            PLAIN,
            feature=FeatureConfig(stage="layer2+layer3", whiten=WhitenConfig(channels=32)),
            labels=LabelConfig(scale=4, align=AlignConfig()),
            show=ShowConfig(edge_px=4),
        ),
        replace(PLAIN, refine=RefineConfig(rounds=1)),
    ],
    ids=["plain", "whitened", "refined"],
)
def test_masks_are_the_same(model, config):
    before = Tracker(model, config)
    wanted = [before.start(walk()[0].rgb, MASK), *(before.step(frame.rgb) for frame in walk()[1:])]
    found = tracked(Tracker(model, config), walk())
    assert all(one.any() for one in wanted)
    assert all(np.array_equal(*pair) for pair in zip(found, wanted, strict=True))


def test_what_was_encoded_is_taken_with_half_of_torchs_threads(model, monkeypatch):
    said, main = [], threading.current_thread()
    encode, follow = FrameEncoding.features, LabelPropagation.follow

    def telling_encode(self, image):
        beside = threading.current_thread() is not main
        said.append(("encode", beside, torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return encode(self, image)

    def telling_follow(self, frame):
        said.append(("follow", torch.get_num_threads(), frame.prepared is not None))
        return follow(self, frame)

    monkeypatch.setattr(FrameEncoding, "features", telling_encode)
    monkeypatch.setattr(LabelPropagation, "follow", telling_follow)
    tracked(Tracker(model, PLAIN), walk(5))
    assert [one for one in said if one[0] == "follow"] == 4 * [("follow", 1, True)]
    assert [one for one in said if one[0] == "encode"][1:] == 4 * [("encode", True, 1, True)]
    assert (torch.get_num_threads(), kernel_threads()) == (1, 2)


def test_kernels_have_all_threads_while_nothing_is_encoded(colours, monkeypatch):
    begun, goes_on, features = threading.Event(), threading.Event(), FrameEncoding.features

    def slow(self, image):
        begun.set()
        assert goes_on.wait(5)
        return features(self, image)

    tracker, ahead = Tracker(colours, PLAIN), EncodedAhead()
    frames = ahead.walk(walk(2), Encoder(lambda: tracker._table, tracker._prepare))
    tracker.start(next(frames).rgb, MASK)
    with ahead.beside():
        assert kernel_threads() == 2
    monkeypatch.setattr(FrameEncoding, "features", slow)

    def go_on():
        with computing(1, kernels=lambda: 2):
            next(frames)

    second = threading.Thread(target=go_on)
    second.start()
    assert begun.wait(5)
    with ahead.beside():
        assert kernel_threads() == 1
        goes_on.set()
        second.join()
        assert kernel_threads() == 2
    frames.close()


def test_frames_come_in_order_and_one_ahead(colours):
    read = []

    def frames():
        for frame in walk(10):
            read.append(frame.index)
            yield frame

    tracker, seen = Tracker(colours, PLAIN), []
    for frame in tracker.ahead(frames()):
        seen.append(frame.index)
        if frame.index == 0:
            assert read == [0], "nothing is read ahead of the first mask"
            tracker.start(frame.rgb, MASK)
            continue
        deadline = time.monotonic() + 5
        while len(read) < min(frame.index + 2, 10) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.02)
        assert read == list(range(min(frame.index + 2, 10)))
        tracker.step(frame.rgb)
    assert seen == list(range(10))
    assert not workers()


def test_what_is_wrong_with_a_frame_is_told_when_it_is_tracked(colours):
    frames = walk(4)
    frames[2] = replace(frames[2], rgb=frames[2].rgb[:40])
    found = tracking(Tracker(colours, PLAIN), frames)
    assert next(found).any()
    assert next(found).any()
    with pytest.raises(MaskMismatch, match="the first one was"):
        next(found)
    assert not workers()


def test_an_error_of_the_encoder_is_met_when_the_frame_is_tracked(model, monkeypatch):
    encode, main, fails = FrameEncoding.features, threading.current_thread(), threading.Event()

    def broken(self, image):
        if fails.is_set() or threading.current_thread() is not main:
            raise RuntimeError("out of something")
        return encode(self, image)

    wanted = tracked(Tracker(model, PLAIN), walk(4))
    monkeypatch.setattr(FrameEncoding, "features", broken)
    found = tracked(Tracker(model, PLAIN), walk(4))
    assert all(np.array_equal(*pair) for pair in zip(found, wanted, strict=True)), "tried again in its turn"
    tracker = Tracker(model, PLAIN)
    frames = tracker.ahead(walk(4))
    tracker.start(next(frames).rgb, MASK)
    fails.set()
    frame = next(frames)
    with pytest.raises(RuntimeError, match="out of something"):
        tracker.step(frame.rgb)
    frames.close()
    assert not workers()


def test_an_error_of_reading_comes_after_the_frames_before_it(colours):
    def frames():
        yield from walk(3)
        raise OSError("no more")

    found = tracking(Tracker(colours, PLAIN), frames())
    assert all(next(found).any() for _ in range(3))
    with pytest.raises(OSError, match="no more"):
        next(found)
    assert not workers()


def test_leaving_early_leaves_no_thread(colours):
    tracker = Tracker(colours, PLAIN)
    for frame in tracker.ahead(walk()):
        tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, MASK)
        if frame.index == 2:
            assert len(workers()) == 1
            break
    assert not workers()


def test_one_thread_works_alone(colours):
    tracker = Tracker(colours, PLAIN)
    with computing(1):
        for frame in tracker.ahead(walk(3)):
            tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, MASK)
            assert not workers()


@pytest.mark.parametrize("how", ["cache", "supervised"])
def test_frames_come_as_they_are_where_they_cannot_be_encoded_ahead(model, how):
    if how == "cache":
        tracker = Tracker(model, PLAIN, FeatureCache())
    else:
        tracker = Tracker(model, replace(PLAIN, system=SystemSpec(name="osvos", settings={"steps": 1})))
    for frame in tracker.ahead(walk(3)):
        tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, MASK)
        assert not workers()


def test_what_was_made_for_another_video_is_not_used(model):
    config = replace(PLAIN, feature=FeatureConfig(stage="layer3", whiten=WhitenConfig(channels=16)))
    frames, other = walk(3), drawn(4)
    wanted = Tracker(model, config)
    wanted.start(*other)
    tracker = Tracker(model, config)
    coming = tracker.ahead(frames)
    tracker.start(next(coming).rgb, MASK)
    frame = next(coming)  # encoded as the first frame of the video before says
    tracker.start(*other)
    assert np.array_equal(tracker.step(frame.rgb), wanted.step(frame.rgb))


def test_corrections_and_going_back_on_the_way_change_nothing_else(model):
    def run(tracker: Tracker, frames) -> list[np.ndarray]:
        found, kept = [], None
        for frame in frames:
            found.append(tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, MASK))
            if frame.index == 1:
                kept = tracker.snapshot()
            if frame.index == 2:
                tracker.remember(drawn(6)[0], drawn(6)[1])
                found.append(tracker.correct(CORRECTED))
            if frame.index == 4:
                tracker.restore(kept)
        return found

    alone, ahead = Tracker(model, PLAIN), Tracker(model, PLAIN)
    pairs = zip(run(alone, walk()), run(ahead, ahead.ahead(walk())), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_a_tracker_is_gone_with_its_last_name(colours):
    import weakref

    tracker = Tracker(colours, PLAIN)
    tracked(tracker, walk(3))
    gone = weakref.ref(tracker)
    del tracker
    assert gone() is None, "memory is given back when a video is done, not when someone looks for cycles"
