"""Frames that come later have a say in masks, window by window."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from selfvos.errors import Stopped, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.label_fusion import FusionConfig
from selfvos.ops.left_behind import LeaveConfig
from selfvos.ops.matching import MatchConfig
from selfvos.ops.whitening import WhitenConfig, fit_whitening, pooled, statistics, whitening
from selfvos.ops.window_attention import AttendConfig
from selfvos.tracking import by_memory
from selfvos.tracking.framing import Framing
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.memory import Entry, Remembered
from selfvos.tracking.propagator import DenseMasks
from selfvos.tracking.settings import (
    FeatureConfig,
    FrameConfig,
    LabelConfig,
    MemoryConfig,
    RefineConfig,
    ShowConfig,
    SmoothConfig,
    TrackConfig,
)
from selfvos.tracking.smoothing import smoothed
from selfvos.tracking.tracker import Tracker
from selfvos.tracking.view import Foreseen, View
from selfvos.tracking.windows import Windows
from selfvos.types import Frame, Watching, ignore

SIZE = 64
SMOOTH = SmoothConfig(window=5, frames=2)
CONFIG = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=None, precision="float32"),
    match=MatchConfig(radius_cells=3.0, top_k=6),
    memory=MemoryConfig(last=3),
    labels=LabelConfig(
        scale=4,
        align=AlignConfig(),
        fuse=FusionConfig(),
        leave=LeaveConfig(every=1),
        restore_contrast=True,
        reach_cells=2.0,
    ),
    show=ShowConfig(edge_px=4),
    smooth=SMOOTH,
)
STAYING = replace(CONFIG, labels=replace(CONFIG.labels, leave=None))
"""What stays with the ground is an object's as well."""


def drawn(t: int) -> tuple[np.ndarray, np.ndarray]:
    """A square that moves over a textured ground and shows its other side more and more, and its mask."""
    rng = np.random.default_rng(3)
    rgb, mask = rng.integers(20, 120, (SIZE, SIZE, 3), dtype=np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    sides = rng.integers(130, 250, (24, 48, 3), dtype=np.uint8)
    rgb[20:44, 2 * t : 24 + 2 * t] = sides[:, 2 * t : 24 + 2 * t]
    mask[20:44, 2 * t : 24 + 2 * t] = 1
    return rgb, mask


def walk(frames: int = 9) -> list[Frame]:
    return [Frame(drawn(t)[0], t, f"{t:05d}", t / 10) for t in range(frames)]


@pytest.fixture(scope="module")
def colours():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none")).eval()


def tracked(
    tracker: Tracker, frames: list[Frame], given=None, *, smooth: bool = True, watch=ignore
) -> list[np.ndarray]:
    masks = []
    for frame in tracker.ahead(frames, smooth=smooth, watch=watch):
        mask = drawn(0)[1] if frame.index == 0 else (given or {}).get(frame.index)
        masks.append(tracker.step(frame.rgb, mask) if frame.index else tracker.start(frame.rgb, mask))
    return masks


def same(one, other) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


VIEW = View(torch.zeros(1, 1, 1), Framing.fit((8, 8), CONFIG.frame, 8), 0)


def number(value: float) -> DenseMasks:
    """Masks that are one number."""
    return DenseMasks(torch.full((1, 1, 1, 1), value, dtype=torch.float64), 8)


def entry(value: float) -> Entry:
    return Entry(VIEW.key, torch.full((1, 1), value, dtype=torch.float64), None)


class Chain:
    """A method for which each frame is the mean of those that its labels come from."""

    def __init__(self):
        self.seen, self.beside, self.came = [], [], []

    def again(self, view, remembered, beside):
        assert view is VIEW
        self.seen.append([float(entry.labels) for entry in remembered.entries])
        self.beside.append(float(beside.cells))
        self.came.append(remembered.came)
        return number(float(np.mean(self.seen[-1])))

    def entry(self, seen):
        return entry(float(seen.masks.cells))


def chain(values, config, *, before=(), lasting=(1.0,)):
    method, entries = Chain(), tuple(entry(value) for value in (*lasting, *before))
    known = Remembered(entries, tuple(range(len(entries))), len(lasting), came=len(entries), next=0)
    window = [Foreseen(VIEW, number(float(value))) for value in values]
    found = smoothed(window, number(-1.0), known, method, config, ignore)
    return [float(seen.masks.cells) for seen in found], method


def test_a_sweep_from_the_beginning_by_hand():
    found, method = chain([0.0, 0.5, 1.0], SmoothConfig(window=9, frames=1, sweeps=1), before=(0.2, 0.4))
    assert method.seen[0] == [1.0, 0.5, 0.4]  # what lasts, the one after, the one before
    first = (1.0 + 0.5 + 0.4) / 3
    assert method.seen[1] == [1.0, 1.0, pytest.approx(first)]
    assert method.seen[2] == [1.0, pytest.approx((2 + first) / 3)]
    assert method.beside == [-1.0, pytest.approx(first), pytest.approx(found[1])]
    assert method.came == [3, 4, 5]


def test_the_last_sweep_goes_from_the_beginning_the_one_before_from_the_end():
    _, method = chain([0.0, 0.5, 1.0], SmoothConfig(window=9, frames=1, sweeps=2))
    assert method.came == [3, 2, 1, 1, 2, 3]
    assert method.beside[1] == pytest.approx(np.mean(method.seen[0]))  # that of the frame after it, as it is now


def test_labels_come_from_so_many_frames_on_either_side_and_no_more():
    values = list(np.linspace(0, 1, 9))
    _, method = chain(values, SmoothConfig(window=20, frames=3, sweeps=1), before=(0.1, 0.2, 0.3, 0.4))
    assert [len(seen) for seen in method.seen] == [7, 7, 7, 7, 7, 7, 6, 5, 4]
    assert method.seen[0][1:4] == values[3:0:-1]
    assert method.seen[0][4:] == [0.2, 0.3, 0.4]
    assert method.seen[1][4:6] == [0.3, 0.4]


def test_many_sweeps_end_at_the_harmonic_function():
    config = SmoothConfig(window=20, frames=1, sweeps=200)
    found, _ = chain([0.5] * 5, config, lasting=(1.0,), before=(0.0,))
    system, right = np.eye(5), np.full(5, 0.0)
    for place in range(5):
        near = [other for other in (place - 1, place + 1) if 0 <= other < 5]
        count = 1 + len(near) + (place == 0)  # the first frame, and before the window one that is 0
        right[place] = 1 / count
        system[place, near] -= 1 / count
    assert np.allclose(found, np.linalg.solve(system, right))


def read_by(frames: int, config: SmoothConfig):
    """Walk, and return which frames were read when each came, and what was foreseen together."""
    read, together, windows = [], [], Windows()

    def reading():
        for frame in walk(frames):
            read.append(frame.index)
            yield frame

    def foresee(held):
        together.append([frame.index for frame in held])
        return [f"of {frame.index}" for frame in held]

    came = []
    for frame in windows.walk(reading(), lambda: True, config):
        if frame.index:
            assert windows.take(frame.rgb, foresee) == f"of {frame.index}"
        came.append((frame.index, len(read)))
    return came, together


@pytest.mark.parametrize("frames", range(13))
def test_every_frame_comes_once_and_in_order(frames):
    came, together = read_by(frames, SMOOTH)
    assert [index for index, _ in came] == list(range(frames))
    assert all(len(held) <= SMOOTH.window for held in together)
    assert all(read <= index + SMOOTH.window for index, read in came)


def test_the_last_frames_of_a_window_are_looked_at_again_with_the_next():
    _, together = read_by(11, SMOOTH)
    assert together == [[1, 2, 3, 4, 5], [4, 5, 6, 7, 8], [7, 8, 9, 10]]


def test_a_window_of_large_frames_is_smaller(monkeypatch):
    monkeypatch.setattr("selfvos.tracking.windows._MOST_BYTES", 0)
    _, together = read_by(11, SMOOTH)
    assert [len(held) for held in together[:2]] == [4, 4]


def test_what_was_forgotten_is_found_anew_for_the_rest_of_the_window():
    windows, together = Windows(), []

    def foresee(held):
        together.append([frame.index for frame in held])
        return [frame.index for frame in held]

    for frame in windows.walk(walk(6), lambda: True, SMOOTH):
        if frame.index == 3:
            windows.forget()
        if frame.index:
            assert windows.take(frame.rgb, foresee) == frame.index
    assert together == [[1, 2, 3, 4, 5], [3, 4, 5], [4, 5]]
    assert windows.take(walk(1)[0].rgb, foresee) is None


def test_frames_before_the_first_mask_are_handed_on_at_once():
    read, begun = [], []
    frames = Windows().walk((read.append(f.index) or f for f in walk(9)), lambda: bool(begun), SMOOTH)
    assert [frame.index for frame in islice(frames, 3)] == read == [0, 1, 2]
    begun.append(True)
    assert next(frames).index == 3
    assert len(read) == 3 + SMOOTH.window


def test_both_ways_of_keeping_labels_give_the_same_masks(colours, monkeypatch):
    sparse = tracked(Tracker(colours, CONFIG), walk())
    monkeypatch.setattr(by_memory, "fits_sparse", lambda *_: False)
    dense = tracked(Tracker(colours, CONFIG), walk())
    assert all((one != other).mean() < 0.001 for one, other in zip(sparse, dense, strict=True))
    assert all(one.any() for one in sparse)


@pytest.mark.parametrize("frames", [2, 3, 6, 9])
def test_the_same_video_gets_the_same_masks_and_every_frame_has_one(colours, frames):
    tracker = Tracker(colours, CONFIG)
    once, again = tracked(tracker, walk(frames)), tracked(tracker, walk(frames))
    assert len(once) == frames
    assert same(once, again)
    assert all((mask == 1).any() for mask in once)
    assert not tracker.objects[0].lost


def test_later_frames_have_a_say(colours):
    with_them, without = (tracked(Tracker(colours, CONFIG), walk(), smooth=smooth) for smooth in (True, False))
    assert same(without, tracked(Tracker(colours, replace(CONFIG, smooth=None)), walk()))
    assert not same(with_them, without)
    changed = walk()
    changed[4] = replace(changed[4], rgb=np.full_like(changed[4].rgb, 90))
    assert not np.array_equal(tracked(Tracker(colours, CONFIG), changed)[3], with_them[3])
    assert np.array_equal(tracked(Tracker(colours, CONFIG), changed, smooth=False)[3], without[3])


def test_a_mask_given_on_the_way_is_taken_and_followed(colours):
    given, frames = np.zeros((SIZE, SIZE), np.uint8), walk()
    given[2:18, 40:60] = 2
    for frame in frames[3:]:
        frame.rgb[given == 2] = np.random.default_rng(4).integers(0, 255, (320, 3)) * [1, 0, 0]
    masks = tracked(Tracker(colours, STAYING), frames, {3: given})
    assert all((mask == 2).any() for mask in masks[3:])
    assert np.array_equal(masks[3] == 2, given == 2)
    assert not any((mask == 2).any() for mask in masks[:3])


def test_what_follows_a_correction_learns_from_it(colours):
    tracker, masks = Tracker(colours, STAYING), []
    for frame in tracker.ahead(walk(), smooth=True):
        masks.append(tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, drawn(0)[1]))
        if frame.index == 3:
            tracker.correct(np.roll(drawn(3)[1], 14, axis=0))
    assert (masks[2][46:58] == 1).sum() == 0
    assert (masks[4][46:58] == 1).sum() > 30


def test_a_tracker_goes_back_and_on_in_the_middle_of_a_window(colours):
    tracker, masks = Tracker(colours, CONFIG), []
    for frame in tracker.ahead(walk(), smooth=True):
        masks.append(tracker.step(frame.rgb) if frame.index else tracker.start(frame.rgb, drawn(0)[1]))
        if frame.index == 2:
            there, objects = tracker.snapshot(), tracker.objects
    tracker.restore(there)
    assert tracker.objects == objects
    again = tracker.step(walk()[3].rgb)
    assert ((again == 1) & (masks[3] == 1)).sum() > 0.8 * (masks[3] == 1).sum()


def test_it_stops_in_the_middle_of_a_window_and_can_begin_anew(colours):
    asked = []

    def stop():
        asked.append(True)
        return len(asked) > 7

    tracker = Tracker(colours, CONFIG)
    with pytest.raises(Stopped):
        tracked(tracker, walk(), watch=Watching(asked=stop))
    assert same(tracked(tracker, walk()), tracked(Tracker(colours, CONFIG), walk()))


def test_matches_that_are_watched_are_those_of_masks_as_they_come(colours):
    tracker, watched = Tracker(colours, CONFIG), []
    tracker.propagator.watch_matches = lambda walked, _: watched.append(walked)
    masks = tracked(tracker, walk())
    assert len(watched) == len(walk()) - 1
    assert same(masks[:2], tracked(Tracker(colours, replace(CONFIG, smooth=None)), walk())[:2])


def test_frames_of_the_first_window_settle_how_frames_are_compared(model):
    feature = FeatureConfig(stage="layer2+layer3", whiten=WhitenConfig(channels=32))
    config = replace(CONFIG, feature=feature)
    surveyed = Tracker(model, config)
    tracked(surveyed, walk())
    alone = Tracker(model, replace(config, smooth=replace(SMOOTH, survey=0.0)))
    tracked(alone, walk())
    learned = [tracker.propagator.feature.learned.whitening for tracker in (surveyed, alone)]
    assert not torch.equal(learned[0].matrix, learned[1].matrix)
    assert isinstance(alone.propagator, LabelPropagation)
    first = Tracker(model, replace(config, smooth=None))
    first.start(walk()[0].rgb, drawn(0)[1])
    assert torch.equal(first.propagator.feature.learned.whitening.matrix, learned[1].matrix)


def test_statistics_of_frames_are_those_of_all_their_cells():
    torch.manual_seed(1)
    frames = [torch.randn(6, 7, 5) * (1 + i) + i for i in range(4)]
    found = pooled(statistics(frames[0]), [statistics(frame) for frame in frames[1:]], share=0.75)
    wanted = statistics(torch.cat(frames))
    assert torch.allclose(found.mean, wanted.mean)
    assert torch.allclose(found.covariance, wanted.covariance)
    only = pooled(statistics(frames[0]), [statistics(frames[1])], share=0.0)
    config = WhitenConfig(shrinkage=0.1)
    assert torch.allclose(whitening(only, config).matrix, fit_whitening(frames[0], config).matrix)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"sweeps": 0},
        {"window": 10, "frames": 10},
        {"survey": 1.0},
        {"survey": -0.1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        SmoothConfig(**wrong)


@pytest.mark.parametrize(
    "other",
    [
        {"refine": RefineConfig(rounds=1)},
        {"labels": LabelConfig(hard=True)},
        {"match": AttendConfig(), "labels": LabelConfig()},
    ],
)
def test_what_cannot_be_smoothed_is_refused(other):
    with pytest.raises(UsageError, match="set smooth to null"):
        replace(CONFIG, **other)


def test_closing_lets_go_of_the_window(colours):
    tracker = Tracker(colours, CONFIG)
    frames = tracker.ahead(walk(), smooth=True)
    tracker.start(next(frames).rgb, drawn(0)[1])
    tracker.step(next(frames).rgb)
    held = tracker._windows
    assert held._known
    tracker.close()
    assert tracker._windows is not held
    assert (len(tracker._windows._held), len(tracker._windows._known)) == (0, 0)
