"""Snapshots, key frames from elsewhere, and soft masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.label_fusion import FusionConfig
from selfvos.ops.whitening import WhitenConfig
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

SIZE = 64
COLOURS = {1: (220, 40, 40), 2: (40, 60, 220), 3: (240, 220, 30)}
PLAIN = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=SIZE, precision="float32"),
    memory=MemoryConfig(last=3),
)


def draw(places):
    """Flat squares of 24 pixels on a textured background, and their mask; places: id -> (y, x)."""
    rng = np.random.default_rng(0)
    rgb = np.full((SIZE, SIZE, 3), (40, 130, 60), dtype=np.uint8) + rng.integers(0, 20, (SIZE, SIZE, 1), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for i, (y, x) in places.items():
        rgb[y : y + 24, x : x + 24] = COLOURS[i]
        mask[y : y + 24, x : x + 24] = i
    return rgb, mask


def scene(count=9):
    return [draw({1: (4, 4 + 4 * t), 2: (36, 36 - 4 * t)}) for t in range(count)]


@pytest.fixture(scope="module")
def colour_model():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


@pytest.fixture(scope="module")
def slim_model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()


@pytest.fixture(scope="module")
def models(colour_model, slim_model, tiny_resnet):
    def made(system):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"selfvos.models.mask_paths.{system}._WIDTH", 8, raising=False)
            config = SegmenterConfig(backbone=tiny_resnet, last_stage=3, stride=16, key_channels=8, mask_path=system)
            return Segmenter(config).eval()

    torch.manual_seed(0)
    return {"colour": colour_model, "slim": slim_model, "stm": made("stm"), "rgmp": made("rgmp")}


SYSTEMS = {
    "plain": ("colour", PLAIN),
    "whitened": ("colour", replace(PLAIN, feature=FeatureConfig(whiten=WhitenConfig()))),
    "hard": ("colour", replace(PLAIN, labels=LabelConfig(hard=True, scale=2))),
    "aligned": ("colour", replace(PLAIN, labels=LabelConfig(scale=4, align=AlignConfig(), reach_cells=2.0))),
    "fused": ("colour", replace(PLAIN, labels=LabelConfig(scale=4, align=AlignConfig(), fuse=FusionConfig()))),
    "ages": ("colour", replace(PLAIN, memory=MemoryConfig(last=1, offsets=(1, 3), pad_start="fill"))),
    "refined": (
        "slim",
        replace(
            PLAIN, feature=FeatureConfig(stage="layer3"), refine=RefineConfig(rounds=1), show=ShowConfig(edge_px=4)
        ),
    ),
    "stm": ("stm", replace(PLAIN, refine=RefineConfig(), system=SystemSpec(settings={"every": 2}))),
    "rgmp": ("rgmp", replace(PLAIN, refine=RefineConfig())),
    "osvos": ("colour", replace(PLAIN, system=SystemSpec(name="osvos", settings={"steps": 2}))),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_going_back_to_a_snapshot_costs_nothing_of_what_followed(models, name):
    """Restored and stepped, masks, states and soft masks are those of the walk that was not interrupted."""
    kind, config = SYSTEMS[name]
    frames = scene()
    appearing = np.where(draw({3: (36, 4)})[1] == 3, 3, 0)

    def walk(tracker, first):
        found = []
        for t in range(first, len(frames)):
            mask = tracker.step(frames[t][0], appearing if t == 6 else None)
            found.append((mask, tracker.objects, tracker.soft()))
        return found

    tracker = Tracker(models[kind], config)
    tracker.start(*frames[0])
    for frame, _ in frames[1:5]:
        tracker.step(frame)
    before = tracker.snapshot()
    wanted = walk(tracker, 5)
    tracker.correct(draw({3: (0, 0)})[1])  # what came later leaves no trace
    for again in (tracker, Tracker(models[kind], config)):
        again.restore(before)
        assert again.objects == before.table.states
        for (mask, states, soft), (its, theirs, softly) in zip(walk(again, 5), wanted, strict=True):
            np.testing.assert_array_equal(mask, its)
            assert states == theirs
            np.testing.assert_array_equal(soft, softly)


def test_snapshots_share_what_has_not_changed(colour_model):
    frames = scene()
    tracker = Tracker(colour_model, PLAIN)
    tracker.start(*frames[0])
    states = []
    for frame, _ in frames[1:6]:
        tracker.step(frame)
        states.append(tracker.snapshot().propagator.memory)
    assert [len(state.entries) for state in states] == [1, 2, 3, 4, 4]
    first, last = states[3].entries, states[4].entries
    assert [one is other for one, other in zip(first, last, strict=True)] == [True, False, True, True]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_key_frame_from_elsewhere_is_never_forgotten(models, name):
    """An object that a later frame alone shows is known from there, whatever the system."""
    kind, config = SYSTEMS[name]
    frames = [draw({1: (4, 4 + 4 * t), **({2: (36, 36 - 4 * t)} if t > 2 else {})}) for t in range(9)]
    tracker = Tracker(models[kind], config)
    tracker.start(*frames[0])
    tracker.remember(*frames[8])
    for frame, _ in frames[1:7]:
        mask = tracker.step(frame)
    assert [state.id for state in tracker.objects] == [1, 2]
    assert tracker.soft().shape == (2, SIZE, SIZE)
    if kind == "colour" and name != "osvos":
        shown = frames[6][1] == 2
        assert ((mask == 2) & shown).sum() / ((mask == 2) | shown).sum() > 0.7


def test_two_key_frames_meet_in_the_middle(colour_model):
    """Forward from the first and backward from the last one, both knowing both, masks agree where they meet."""
    frames = scene()
    met = []
    for order in (frames, frames[::-1]):
        tracker = Tracker(colour_model, PLAIN)
        tracker.start(*order[0])
        tracker.remember(*order[-1])
        for frame, _ in order[1:5]:
            mask = tracker.step(frame)
        met.append(mask)
    assert (met[0] == met[1]).mean() > 0.97
    assert all((mask == frames[4][1]).mean() > 0.95 for mask in met)


def test_soft_masks_are_what_the_mask_was_decided_from(colour_model):
    for show in (ShowConfig(), ShowConfig(edge_px=3), ShowConfig(decide_at="tracked")):
        frames = scene(4)
        tracker = Tracker(colour_model, replace(PLAIN, frame=FrameConfig(short_side_px=48), show=show))
        tracker.start(*frames[0])
        for frame, _ in frames[1:]:
            mask = tracker.step(frame)
        soft = tracker.soft()
        assert soft.dtype == np.float32
        assert soft.shape == (2, SIZE, SIZE)
        shown = mask > 0
        np.testing.assert_array_equal(soft.argmax(axis=0)[shown] + 1, mask[shown])
        assert soft[:, ~shown].max() < 0.51  # the filter of edges is cut off at 0 and 1, and background with it
        for state, one in zip(tracker.objects, soft, strict=True):
            # Decided at the tracked size, confidence is the mean of fewer pixels.
            near = 1e-2 if show.decide_at == "tracked" else 1e-4
            assert state.confidence == pytest.approx(one[mask == state.id].mean(), abs=near)


def test_what_comes_too_early_or_does_not_fit_is_refused(colour_model):
    tracker = Tracker(colour_model, PLAIN)
    frame, mask = scene(1)[0]
    for call in (tracker.snapshot, tracker.soft, lambda: tracker.remember(frame, mask)):
        with pytest.raises(UsageError, match="call start"):
            call()
    tracker.start(frame, mask)
    with pytest.raises(MaskMismatch, match="frame is 50x64"):
        tracker.remember(frame[:50], mask[:50])
