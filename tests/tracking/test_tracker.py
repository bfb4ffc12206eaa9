import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.label_fusion import FusionConfig
from selfvos.ops.matching import match
from selfvos.ops.whitening import WhitenConfig
from selfvos.tracking import propagation
from selfvos.tracking.encoding import FeatureCache, FrameEncoding
from selfvos.tracking.feature import MatchedFeature
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import FeatureConfig, FrameConfig, MemoryConfig, RefineConfig, ShowConfig, TrackConfig
from selfvos.tracking.tracker import Tracker, recommended

SIZE = 96
COLOURS = {1: (220, 40, 40), 2: (40, 60, 220), 3: (240, 220, 30), 700: (240, 220, 30)}


def draw(places):
    """Flat squares on a textured background, and their mask; places: id -> (y, x) of a 24-pixel square."""
    rng = np.random.default_rng(0)
    rgb = np.full((SIZE, SIZE, 3), (40, 130, 60), dtype=np.uint8) + rng.integers(0, 20, (SIZE, SIZE, 1), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint16)
    for i, (y, x) in places.items():
        rgb[y : y + 24, x : x + 24] = COLOURS[i]
        mask[y : y + 24, x : x + 24] = i
    return rgb, mask


def overlap(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.fixture(scope="module")
def colour_model():
    return Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval()


@pytest.fixture(scope="module")
def slim_model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()


def config(**settings):
    """Return settings for small frames from ``part_field=value``."""
    small = TrackConfig(
        refine=RefineConfig(rounds=0), frame=FrameConfig(short_side_px=SIZE), memory=MemoryConfig(last=3)
    )
    for name, value in settings.items():
        part, _, field = name.partition("_")
        small = replace(small, **{part: replace(getattr(small, part), **{field: value})})
    return small


def test_follows_two_objects_and_keeps_their_ids(colour_model):
    tracker = Tracker(colour_model, config())
    frame, mask = draw({2: (8, 8), 1: (64, 8)})
    assert (tracker.start(frame, mask) == mask).all()
    for step in range(1, 8):
        frame, mask = draw({2: (8, 8 + 4 * step), 1: (64 - 4 * step, 8)})
        result = tracker.step(frame)
        assert result.dtype == np.uint8
        assert set(np.unique(result)) == {0, 1, 2}
        for i in (1, 2):
            assert overlap(result == i, mask == i) > 0.75
    assert [state.id for state in tracker.objects] == [1, 2]
    assert all(not state.lost and 0.5 < state.confidence <= 1 for state in tracker.objects)


def test_snapped_outlines_are_closer_and_leave_no_trace_in_memory(colour_model):
    frames = [draw({1: (11, 8 + 3 * step)}) for step in range(5)]
    found, remembered = {}, {}
    for edge_px in (0, 5):
        tracker = Tracker(colour_model, config(show_edge_px=edge_px))
        tracker.start(*frames[0])
        found[edge_px] = [tracker.step(frame) for frame, _ in frames[1:]]
        remembered[edge_px] = tracker.propagator.latest.cells
    plain, snapped = (
        sum(overlap(result == 1, mask == 1) for result, (_, mask) in zip(found[edge_px], frames[1:], strict=False))
        for edge_px in (0, 5)
    )
    assert snapped > plain
    assert torch.equal(remembered[0], remembered[5])


def test_an_object_that_leaves_is_lost_and_found_again(colour_model):
    tracker = Tracker(colour_model, config())
    tracker.start(*draw({1: (8, 8), 2: (64, 64)}))
    result = tracker.step(draw({1: (8, 8)})[0])
    states = {state.id: state for state in tracker.objects}
    assert states[2].lost
    assert states[2].confidence == 0
    assert not (result == 2).any()
    assert not states[1].lost
    result = tracker.step(draw({1: (8, 8), 2: (64, 60)})[0])
    assert not {state.id: state for state in tracker.objects}[2].lost
    assert (result == 2).any()


def test_an_object_may_appear_later_without_disturbing_the_others(colour_model):
    with_new, without = Tracker(colour_model, config()), Tracker(colour_model, config())
    for tracker in (with_new, without):
        tracker.start(*draw({1: (8, 8)}))
    frame, mask = draw({1: (8, 12), 3: (60, 60)})
    only_new = np.where(mask == 3, mask, 0)
    first, plain = with_new.step(frame, only_new), without.step(frame)
    assert ((first == 3) == (mask == 3)).all()
    assert (first[mask != 3] == plain[mask != 3]).all()
    frame, mask = draw({1: (8, 16), 3: (60, 56)})
    result = with_new.step(frame)
    assert overlap(result == 3, mask == 3) > 0.75
    assert overlap(result == 1, mask == 1) > 0.75


def test_a_correction_stands_changes_what_follows_and_is_never_forgotten(colour_model):
    corrected, plain = Tracker(colour_model, config()), Tracker(colour_model, config())
    for tracker in (corrected, plain):
        tracker.start(*draw({1: (8, 8)}))
    frame, mask = draw({1: (8, 8), 2: (8, 60)})  # the second square comes in and is not marked
    for tracker in (corrected, plain):
        tracker.step(frame)
    assert (corrected.correct(mask) == mask).all()
    for _ in range(6):  # more than the memory's latest frames
        result, other = corrected.step(frame), plain.step(frame)
    assert overlap(result == 2, mask == 2) > 0.8
    assert not (other == 2).any()


def test_the_first_mask_can_be_corrected_too(colour_model):
    tracker = Tracker(colour_model, config())
    frame, mask = draw({1: (8, 8), 2: (60, 60)})
    tracker.start(frame, np.where(mask == 1, mask, 0))
    tracker.correct(mask)
    assert overlap(tracker.step(frame) == 2, mask == 2) > 0.8


def test_ids_above_255_come_back_as_16_bit(colour_model):
    tracker = Tracker(colour_model, config())
    frame, mask = draw({700: (8, 8), 2: (60, 60)})
    assert tracker.start(frame, mask).dtype == np.uint16
    assert set(np.unique(tracker.step(frame))) == {0, 2, 700}


def test_masks_come_back_at_native_size(colour_model):
    tracker = Tracker(colour_model, config(frame_short_side_px=64))
    frame, mask = draw({1: (30, 30)})
    tracker.start(frame[:, :90], mask[:, :90])
    result = tracker.step(frame[:, :90])
    assert result.shape == (96, 90)
    assert overlap(result == 1, mask[:, :90] == 1) > 0.75


@pytest.mark.parametrize("remember", ["decoded", "changes", "coarse"])
def test_one_round_of_an_untrained_slim_path_hardly_changes_the_coarse_mask(slim_model, remember):
    frame, mask = draw({1: (16, 16), 2: (56, 56)})
    results = []
    for rounds in (0, 1):
        tracker = Tracker(slim_model, config(refine_rounds=rounds, feature_stage="layer3", refine_remember=remember))
        tracker.start(frame, mask)
        results.append(tracker.step(frame))
    for i in (1, 2):
        assert overlap(results[1] == i, results[0] == i) > 0.75


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_of_an_untrained_wide_path_are_plain_propagation(rounds):
    """Also with labels finer than half-cells, and with what is remembered of them."""
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="wide")).eval()
    settings = {
        "feature_stage": "layer3",
        "labels_scale": 4,
        "labels_restore_contrast": True,
        "refine_remember": "changes",
    }
    results = []
    for r in (0, rounds):
        tracker = Tracker(model, config(refine_rounds=r, **settings))
        tracker.start(*draw({1: (16, 16), 2: (56, 56)}))
        results.append([tracker.step(draw({1: (16 + 3 * t, 16), 2: (56, 56 - 2 * t)})[0]) for t in range(1, 4)])
    np.testing.assert_array_equal(results[1], results[0])


def test_what_is_thinner_than_a_cell_is_followed_by_labels_that_are_finer(colour_model):
    """A line of three pixels fills less than half of any cell, and is lost with one label a cell."""
    rng = np.random.default_rng(1)
    background = rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[:, 42:45] = 1
    frame = np.where(mask[..., None] > 0, np.uint8(250), background)
    found = {}
    for scale in (1, 4):
        tracker = Tracker(colour_model, config(labels_scale=scale))
        tracker.start(frame, mask)
        found[scale] = [overlap(tracker.step(frame) == 1, mask == 1) for _ in range(4)][-1]
    assert found[1] == 0
    assert found[4] > 0.6


def test_parts_of_cells_must_divide_them(colour_model):
    with pytest.raises(UsageError, match=r"labels.scale must divide the stride 8, got \(1, 3\)"):
        Tracker(colour_model, config(labels_scale=3))
    with pytest.raises(UsageError, match=r"feature.scale times labels.scale .* got \(4, 4\)"):
        Tracker(colour_model, config(feature_scale=4, labels_scale=4))
    with pytest.raises(UsageError, match="scale must be at least 1"):
        config(labels_scale=0)


def _with_lookalike(count):
    """An object that moves to the right, and from the second frame on one of its colour in the opposite corner."""
    frames = []
    for t in range(count):
        frame, mask = draw({1: (8, 8 + 2 * t)})
        frames.append((frame if t == 0 else np.where(draw({1: (64, 64)})[1][..., None] > 0, COLOURS[1], frame), mask))
    return [(frame.astype(np.uint8), mask) for frame, mask in frames]


@pytest.mark.parametrize(("reach", "taken"), [(None, True), (2.0, False)])
def test_what_looks_like_an_object_far_from_it_is_left_alone(colour_model, reach, taken):
    tracker = Tracker(colour_model, config(labels_scale=4, labels_reach_cells=reach))
    frames = _with_lookalike(4)
    tracker.start(*frames[0])
    for frame, mask in frames[1:]:
        found = tracker.step(frame)
        assert (found[56:, 56:] == 1).any() == taken
        assert ((found > 0) & (mask > 0)).sum() > 0.8 * (mask > 0).sum()


def test_what_was_lost_may_come_back_anywhere(colour_model):
    tracker = Tracker(colour_model, config(labels_scale=4, labels_reach_cells=2.0))
    tracker.start(*draw({1: (8, 8)}))
    assert not tracker.step(draw({})[0]).any()
    frame, mask = draw({1: (56, 56)})
    assert ((tracker.step(frame) > 0) & (mask > 0)).sum() > 0.8 * (mask > 0).sum()


def test_aligned_labels_follow_by_less_than_a_cell(colour_model):
    """Of a square that moves two pixels a frame, cells of 8 pixels know where it is only by its picture."""
    overlap = {}
    for align in (None, AlignConfig()):
        tracker = Tracker(colour_model, config(labels_scale=4, labels_align=align))
        tracker.start(*draw({1: (16, 8)}))
        for t in range(1, 8):
            frame, mask = draw({1: (16, 8 + 2 * t)})
            found = tracker.step(frame) > 0
            overlap[align] = (found & (mask > 0)).sum() / (found | (mask > 0)).sum()
    assert overlap[AlignConfig()] > overlap[None]


def test_labels_are_aligned_in_parts_of_cells_alone():
    with pytest.raises(UsageError, match="labels.align"):
        config(labels_align=AlignConfig())


def test_labels_are_fused_where_they_are_aligned_alone():
    with pytest.raises(UsageError, match=r"labels\.fuse"):
        config(labels_scale=4, labels_fuse=FusionConfig())


def test_a_wire_that_sways_is_followed_by_its_colour(colour_model):
    """Each frame bends it another way, by less than a cell: a shift of whole cells cannot tell its parts apart."""
    overlap = {}
    for fuse in (None, FusionConfig()):
        tracker = Tracker(colour_model, config(labels_scale=4, labels_align=AlignConfig(), labels_fuse=fuse))
        overlap[fuse] = 0.0
        for t in range(8):
            frame, mask = draw({})
            for row in range(len(frame)):
                column = 32 + 2 * round(math.sin(row / 3 + 1.5 * t))
                frame[row, column : column + 2], mask[row, column : column + 2] = (250, 250, 40), 1
            found = (tracker.step(frame) if t else tracker.start(frame, mask)) > 0
            overlap[fuse] += float((found & (mask > 0)).sum() / (found | (mask > 0)).sum()) / 8
    assert overlap[FusionConfig()] > max(0.8, overlap[None] + 0.1), overlap


@pytest.mark.parametrize("settings", [{}, {"labels_scale": 4, "refine_remember": "changes"}])
def test_objects_that_appear_or_are_corrected_while_refining(slim_model, settings):
    tracker = Tracker(slim_model, config(refine_rounds=2, feature_stage="layer3", **settings))
    tracker.start(*draw({1: (16, 16)}))
    frame, mask = draw({1: (16, 16), 2: (56, 56)})
    tracker.step(frame, np.where(mask == 2, mask, 0))
    assert set(np.unique(tracker.step(frame))) == {0, 1, 2}
    tracker.correct(mask)
    assert set(np.unique(tracker.step(frame))) == {0, 1, 2}


def test_starting_again_forgets_everything(colour_model):
    tracker, fresh = Tracker(colour_model, config()), Tracker(colour_model, config())
    tracker.start(*draw({1: (8, 8), 2: (60, 60)}))
    tracker.step(draw({1: (8, 8)})[0])
    for one in (tracker, fresh):
        one.start(*draw({3: (40, 8)}))
    frame = draw({3: (44, 8)})[0]
    assert (tracker.step(frame) == fresh.step(frame)).all()
    assert [state.id for state in tracker.objects] == [3]


def test_wrong_calls_say_what_to_do(colour_model):
    tracker = Tracker(colour_model, config())
    frame, mask = draw({1: (8, 8)})
    with pytest.raises(UsageError, match="start"):
        tracker.step(frame)
    with pytest.raises(UsageError, match="start"):
        tracker.correct(mask)
    with pytest.raises(MaskMismatch, match="mask is 10x10.*frame is 96x96"):
        tracker.start(frame, mask[:10, :10])
    with pytest.raises(MaskMismatch, match="empty"):
        tracker.start(frame, np.zeros_like(mask))
    tracker.start(frame, mask)
    with pytest.raises(MaskMismatch, match="frame is 50x96"):
        tracker.step(frame[:50])


def test_settings_that_the_network_cannot_do_are_refused(colour_model):
    with pytest.raises(UsageError, match="rounds to 0"):
        Tracker(colour_model, TrackConfig(refine=RefineConfig(rounds=1)))
    with pytest.raises(UsageError, match="unknown feature 'layer9'.*patch"):
        Tracker(colour_model, config(feature_stage="layer9"))
    with pytest.raises(UsageError, match="rounds"):
        RefineConfig(rounds=-1)


def test_weights_recommend_how_to_track(slim_model, colour_model):
    assert recommended(colour_model).refine.rounds == 0
    assert recommended(slim_model) == TrackConfig()
    slim_model.notes = WeightsNotes(track={"feature": {"stage": "layer3"}, "refine": {"rounds": 2}})
    try:
        assert recommended(slim_model) == TrackConfig(
            feature=FeatureConfig(stage="layer3"), refine=RefineConfig(rounds=2)
        )
    finally:
        slim_model.notes = WeightsNotes()


def test_presets_of_the_papers():
    crw, vfs = PRESETS.get("crw"), PRESETS.get("vfs")
    assert (crw.refine.rounds, crw.memory.last, crw.feature.stage) == (0, 20, "layer3")
    assert (crw.match.top_k, crw.match.radius_cells) == (10, 12.0)
    assert crw.match.exempt_permanent
    assert not vfs.match.exempt_permanent
    assert (vfs.match.temperature, PRESETS.get("mask-vos").refine.rounds) == (0.07, 3)
    with pytest.raises(UsageError, match="did you mean 'crw'"):
        PRESETS.get("crv")


def test_ids_decided_at_the_tracked_size_go_to_the_nearest_pixels(colour_model):
    there = TrackConfig(refine=RefineConfig(rounds=0), frame=FrameConfig(size_px=(48, 96)))
    config = replace(there, show=ShowConfig(decide_at="tracked"))
    rgb, mask = draw({1: (20, 20), 2: (60, 50)})
    tracker = Tracker(colour_model, config)
    tracker.start(rgb, mask)
    found = tracker.step(rgb)
    assert found.shape == mask.shape
    np.testing.assert_array_equal(found[::2], found[1::2])  # half as high: two rows share one
    assert all(overlap(found == i, mask == i) > 0.4 for i in (1, 2))
    assert not np.array_equal(found, _followed(colour_model, rgb, mask, there))


def _followed(model, rgb, mask, config):
    tracker = Tracker(model, config)
    tracker.start(rgb, mask)
    return tracker.step(rgb)


def test_trackers_side_by_side_do_once_what_they_share_and_find_what_they_find_alone(slim_model, monkeypatch):
    settings = [
        config(),
        config(refine_rounds=2, memory_last=1),
        config(feature_stage="layer3"),
        config(refine_rounds=1),
    ]
    frames = [draw({1: (8, 8 + 4 * t)}) for t in range(4)]

    def follow(trackers):
        masks = []
        for t, (frame, mask) in enumerate(frames):
            masks.append([tracker.start(frame, mask) if t == 0 else tracker.step(frame) for tracker in trackers])
        return np.array(masks)

    cache = FeatureCache()
    together = [Tracker(slim_model, one, cache) for one in settings]
    encoded, matched = [], []
    cache.network(slim_model).encoder.register_forward_hook(lambda *_: encoded.append(1))
    monkeypatch.setattr(propagation, "match", lambda *args: matched.append(1) or match(*args))
    found = follow(together)
    assert len(encoded) == len(frames)
    assert len(matched) == 3 * (len(frames) - 1)  # the first and the last compare in the same way
    np.testing.assert_array_equal(found, follow([Tracker(slim_model, one) for one in settings]))


def test_trackers_of_other_sizes_share_a_cache_but_no_frame(slim_model):
    settings = [config(), config(frame_short_side_px=64)]
    frame, mask = draw({1: (8, 8)})
    cache = FeatureCache()
    together = [Tracker(slim_model, one, cache) for one in settings]
    for tracker, one in zip(together, settings, strict=True):
        tracker.start(frame, mask)
        np.testing.assert_array_equal(tracker.step(frame), _followed(slim_model, frame, mask, one))
    with pytest.raises(UsageError, match="need the same network"):
        Tracker(Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none")).eval(), config(), cache)


def test_trackers_side_by_side_forget_what_the_last_frame_of_another_video_was_matched_with(slim_model):
    before, (frame, mask) = draw({1: (8, 8)}), draw({1: (40, 48)})
    first = Tracker(slim_model, config(), FeatureCache())
    first.start(*before)
    first.step(frame)
    first.start(frame, mask)
    alone = Tracker(slim_model, config())
    alone.start(frame, mask)
    np.testing.assert_array_equal(first.step(frame), alone.step(frame))


def test_rounds_can_be_watched(slim_model):
    tracker = Tracker(slim_model, config(refine_rounds=2))
    seen = []
    tracker.propagator.watch_rounds = lambda number, masks: seen.append((number, tuple(masks.shape)))
    for t in range(3):
        frame, mask = draw({1: (8, 8 + 4 * t)})
        tracker.start(frame, mask) if t == 0 else tracker.step(frame)
    assert seen == [(number, (1, 2, SIZE, SIZE)) for number in (0, 1, 2)] * 2


def test_whitening_learns_from_the_first_frame_of_each_video(colour_model):
    """What is matched is whitened by the first frame alone, and anew when another video starts."""
    settings = config(feature_whiten=WhitenConfig())
    videos = [[draw({1: (8 + 4 * t, y)})[0] for t in range(4)] for y in (8, 60)]
    masks = [draw({1: (8, y)})[1] for y in (8, 60)]
    used = Tracker(colour_model, settings)
    for video, mask in zip(videos, masks, strict=True):
        fresh = Tracker(colour_model, settings)
        assert (used.start(video[0], mask) == fresh.start(video[0], mask)).all()
        for t, frame in enumerate(video[1:], start=1):
            found = used.step(frame)
            assert (found == fresh.step(frame)).all()
            assert overlap(found == 1, draw({1: (8 + 4 * t, 8 if video is videos[0] else 60)})[1] == 1) > 0.75


def test_stages_are_matched_together(slim_model):
    """Cosines of two stages together are the mean of those of each; stages on different grids are refused."""
    frame, _ = draw({1: (8, 8)})

    def cosines(feature):
        encoding = FrameEncoding(slim_model, config().frame)
        matched = MatchedFeature(encoding.network, config(feature_stage=feature))
        cells = matched.key(encoding.encode(frame, encoding.fit(frame))).flatten(0, 1)
        return cells @ cells.T

    torch.testing.assert_close(cosines("layer2+layer3"), (cosines("layer2") + cosines("layer3")) / 2)
    with pytest.raises(UsageError, match="different sizes"):
        cosines("layer1+layer3")
    with pytest.raises(UsageError, match="unknown feature 'layer3.layer9'"):
        MatchedFeature(slim_model, config(feature_stage="layer3+layer9"))


def test_a_frame_is_seen_again_at_shares_of_its_size(slim_model):
    """What is matched beside a frame is what the network says of the frame when it is tracked at that size."""
    frame, _ = draw({1: (8, 8)})

    def key(**how):
        settings = config(feature_stage="layer2+layer3", **how)
        encoding = FrameEncoding(slim_model, settings.frame)
        return MatchedFeature(encoding.network, settings).key(encoding.encode(frame, encoding.fit(frame)))

    alone, both = key(), key(feature_smaller=(0.5,))
    size = alone.shape[2]
    assert both.shape == (*alone.shape[:2], 2 * size)
    torch.testing.assert_close(both[..., :size] * 2**0.5, alone)
    half = key(frame_short_side_px=min(frame.shape[:2]) // 2)
    seen = both[..., size:].unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(1, 3))
    cosine = F.cosine_similarity(seen, half, dim=2)
    assert cosine.mean() > 0.9, cosine
    with pytest.raises(UsageError, match="shares between 0 and 1"):
        config(feature_smaller=(1.5,))


def test_trackers_that_share_what_they_see_share_smaller_views_as_well(slim_model, monkeypatch):
    seen = []
    encode = FrameEncoding.features
    monkeypatch.setattr(FrameEncoding, "features", lambda self, image: seen.append(image.shape) or encode(self, image))
    settings = config(feature_stage="layer3", feature_smaller=(0.5,))
    cache = FeatureCache({"layer3"})
    frame, mask = draw({1: (8, 8)})
    trackers = [Tracker(slim_model, settings, cache), Tracker(slim_model, settings, cache)]
    for tracker in trackers:
        tracker.start(frame, mask)
    assert len(seen) == 2
    assert seen[1][2] == seen[0][2] // 2


def test_weights_that_learned_from_true_masks_mark_their_results(colour_model):
    assert Tracker(colour_model, config()).supervision == ""
    colour_model.notes = WeightsNotes(supervision="true masks")
    try:
        assert Tracker(colour_model, config()).supervision == "supervised: trained on true masks"
    finally:
        colour_model.notes = WeightsNotes()


def test_a_new_object_leaves_the_outlines_of_the_others_where_they_are(colour_model):
    """Whatever moves outlines to edges does so in a frame with a given mask, too: nothing jumps there."""
    frame, mask = draw({1: (12, 13), 2: (60, 60)})
    first = draw({1: (8, 8)})
    alone, given = (Tracker(colour_model, config(show_edge_px=4)) for _ in range(2))
    for tracker in (alone, given):
        tracker.start(*first)
    found, with_new = alone.step(frame), given.step(frame, np.where(mask == 2, mask, 0))
    assert (with_new[60:84, 60:84] == 2).all()
    np.testing.assert_array_equal(with_new[:48, :48], found[:48, :48])
