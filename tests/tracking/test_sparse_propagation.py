"""Labels kept where objects are: the same masks as from whole maps, and room for a thousand objects."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.label_fusion import FusionConfig
from selfvos.ops.left_behind import LeaveConfig
from selfvos.ops.matching import MatchConfig
from selfvos.tracking import by_memory, leaving
from selfvos.tracking.label_propagation import LabelPropagation
from selfvos.tracking.settings import FrameConfig, LabelConfig, MemoryConfig, RefineConfig, ShowConfig, TrackConfig
from selfvos.tracking.sparse_masks import SparseMasks
from selfvos.tracking.sparse_propagation import SparsePropagation
from selfvos.tracking.tracker import Tracker

CONFIG = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=None, precision="float32"),
    match=MatchConfig(radius_cells=3.0, top_k=6),
    memory=MemoryConfig(last=3),
    labels=LabelConfig(scale=4, align=AlignConfig(), restore_contrast=True, reach_cells=2.0),
    show=ShowConfig(edge_px=4),
)
COPIES = replace(CONFIG, memory=MemoryConfig(last=3, pad_start="fill"), match=replace(CONFIG.match, per_frame=True))
SOME = replace(CONFIG, memory=MemoryConfig(last=3, offsets=(1, 3)))
FUSED = replace(CONFIG, labels=replace(CONFIG.labels, fuse=FusionConfig()))
WAYS = {"recommended": FUSED, "aligned alone": CONFIG, "with copies": COPIES, "with some frames": SOME}


@pytest.fixture(scope="module")
def model():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


def scene(frames, objects, size=(96, 128), speed=2):
    """A picture of noise that moves by some pixels a frame, and the masks of squares that are objects of it."""
    rng = np.random.default_rng(0)
    width = size[1] + speed * frames
    wide = rng.integers(0, 256, (size[0] // 4, width // 4 + 1, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    columns = int(np.ceil(np.sqrt(objects * size[1] / size[0])))
    step = size[0] // -(-objects // columns), size[1] // columns
    mask = np.zeros((size[0], width), np.uint16)
    for i in range(objects):
        y, x = i // columns * step[0], i % columns * step[1]
        mask[y : y + step[0] * 3 // 4, x : x + step[1] * 3 // 4] = i + 1
    parts = [slice(speed * t, speed * t + size[1]) for t in range(frames)]
    return [wide[:, part] for part in parts], [mask[:, part] for part in parts]


def followed(model, config, frames, masks):
    tracker = Tracker(model, config)
    tracker.start(frames[0], masks[0])
    return [tracker.step(frame) for frame in frames[1:]], tracker


@pytest.mark.parametrize("way", WAYS)
def test_masks_are_those_of_whole_maps(model, way, monkeypatch):
    frames, masks = scene(7, 5)
    found, tracker = followed(model, WAYS[way], frames, masks)
    assert isinstance(tracker.propagator, SparsePropagation)
    monkeypatch.setattr(by_memory, "fits_sparse", lambda *_: False)
    wanted, dense = followed(model, WAYS[way], frames, masks)
    assert type(dense.propagator) is LabelPropagation
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours != theirs).mean() < 1e-3
        assert len(np.unique(ours)) > 3
    # What memory rounds may decide whether a cell counts as carried one thing alone, which is not fused.
    off = 1e-3 if WAYS[way].labels.fuse is None else 2e-2
    torch.testing.assert_close(tracker.propagator.latest.cells, dense.propagator.latest.cells, atol=off, rtol=0)
    np.testing.assert_allclose(tracker.soft(), dense.soft(), atol=off)
    pairs = zip(tracker.objects, dense.objects, strict=True)
    assert all(abs(ours.confidence - theirs.confidence) < off for ours, theirs in pairs)


@pytest.mark.parametrize("memory", [MemoryConfig(last=8), MemoryConfig(last=8, offsets=(1, 2, 7))])
def test_what_objects_leave_behind_is_ground_in_both_ways(model, memory, monkeypatch):
    """The same is found in the same of memory, and taken from the object in the same cells."""
    calls = []

    def left_half(now, then, given, config, known):
        calls.append((now, then, given))
        gone = torch.zeros(now.objects.shape[1:], dtype=torch.bool)
        gone[1, :, : gone.shape[2] // 2] = True
        return gone

    monkeypatch.setattr(leaving, "left_behind", left_half)
    frames, masks = scene(11, 3)
    config = replace(CONFIG, memory=memory, labels=replace(CONFIG.labels, leave=LeaveConfig(frames=7)))
    found, tracker = followed(model, config, frames, masks)
    assert isinstance(tracker.propagator, SparsePropagation)
    ours = calls.copy()
    calls.clear()
    monkeypatch.setattr(by_memory, "fits_sparse", lambda *_: False)
    wanted, _ = followed(model, config, frames, masks)
    assert len(ours) == len(calls) == 5
    for one, other in zip(ours, calls, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert mine.features.equal(theirs.features)
            torch.testing.assert_close(mine.objects, theirs.objects, atol=1e-3, rtol=0)
        assert one[2].objects.mean() > 0.1
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine != theirs).mean() < 1e-3
    assert (found[4] == 2).any()
    assert not (found[-1][:, : found[-1].shape[1] // 2 - 8] == 2).any()
    assert (found[-1] == 1).any()


@pytest.mark.parametrize("sparse", [True, False])
def test_it_is_looked_for_now_and_then_and_where_some_was_left(model, sparse, monkeypatch):
    """Going back to a snapshot goes back to how often it is looked."""
    asked = []

    def left_later(now, *_):
        gone = torch.zeros(now.objects.shape[1:], dtype=torch.bool)
        gone[0, 0, 0] = 3 <= len(asked) < 5
        asked.append(tracker.propagator.memory.came)
        return gone

    monkeypatch.setattr(leaving, "left_behind", left_later)
    if not sparse:
        monkeypatch.setattr(by_memory, "fits_sparse", lambda *_: False)
    frames, masks = scene(20, 1)
    leave = LabelConfig(scale=4, align=AlignConfig(), leave=LeaveConfig())
    tracker = Tracker(model, replace(CONFIG, memory=MemoryConfig(last=8), labels=leave))
    tracker.start(frames[0], masks[0])
    for frame in frames[1:16]:
        tracker.step(frame)
    assert asked == [6, 9, 12, 15], "the fourth look found some"
    state = tracker.snapshot()
    for _ in range(2):
        tracker.restore(state)
        del asked[4:]
        for frame in frames[16:]:
            tracker.step(frame)
        assert asked[4:] == [16, 17, 18], "the next one too, the one after it none"


def test_pinned_frames_and_new_objects_find_their_place(model, monkeypatch):
    frames, masks = scene(8, 4)
    few, more = np.where(masks[0] > 2, 0, masks[0]), np.where(masks[2] == 4, 9, 0)
    results = []
    for sparse in (True, False):
        if not sparse:
            monkeypatch.setattr(by_memory, "fits_sparse", lambda *_: False)
        tracker = Tracker(model, CONFIG)
        tracker.start(frames[0], few)
        tracker.step(frames[1])
        tracker.step(frames[2], more)
        tracker.remember(frames[7], masks[7], complete=False)
        tracker.step(frames[3])
        tracker.correct(masks[3])
        results.append([tracker.step(frame) for frame in frames[4:]])
    for ours, theirs in zip(*results, strict=True):
        assert (ours != theirs).mean() < 1e-3
        assert {1, 2} <= set(np.unique(ours).tolist())
    assert [state.id for state in tracker.objects] == [1, 2, 9, 3, 4]


def test_a_thousand_objects_take_the_memory_of_their_cells(model):
    frames, masks = scene(2, 1000, (200, 320), speed=0)
    (found,), tracker = followed(model, replace(CONFIG, show=ShowConfig()), frames, masks)
    assert isinstance(tracker.propagator, SparsePropagation)
    latest = tracker.propagator.latest
    assert isinstance(latest, SparseMasks)
    assert latest.channels == 1001
    assert len(latest.labels.channel) < 25 * 40 * 10, "cells have labels of objects far away"
    assert found.dtype == np.uint16
    assert (found == masks[0]).mean() > 0.9
    assert sum(not state.lost for state in tracker.objects) > 900
