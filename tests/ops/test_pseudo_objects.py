import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from selfvos.errors import UsageError
from selfvos.ops.pseudo_objects import ObjectChoice, _dissolve, choose_objects, clean, known_at_first


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(*rows: str) -> torch.Tensor:
    """Return one frame of labels, a digit per cell."""
    return torch.tensor([[int(digit) for digit in row] for row in rows], dtype=torch.uint8)[None]


def components(frame: np.ndarray) -> list[int]:
    """Return the size of every 4-connected component of one label, straight from the definition."""
    sizes = []
    for label in np.unique(frame):
        found, _ = ndimage.label(frame == label)
        sizes += np.bincount(found.ravel())[1:].tolist()
    return sizes


def voted(maps: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 x 3 majority vote, one cell after another."""
    result = maps.copy()
    for t, y, x in np.ndindex(*maps.shape):
        around = maps[max(t - 1, 0) : t + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        counts = np.bincount(around.ravel())
        winners = np.flatnonzero(counts == counts.max())
        result[t, y, x] = winners[0] if len(winners) == 1 else maps[t, y, x]
    return result


label_maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 3)
)


@settings(deadline=None, max_examples=60)
@given(maps=label_maps)
def test_without_crumbs_to_dissolve_cleaning_is_the_majority_vote(maps):
    np.testing.assert_array_equal(clean(torch.from_numpy(maps), 4, min_cells=1).numpy(), voted(maps))


@settings(deadline=None, max_examples=100)
@given(maps=label_maps, min_cells=st.integers(1, 12))
def test_no_crumb_is_left_and_no_label_is_invented(maps, min_cells):
    cleaned = clean(torch.from_numpy(maps), 4, min_cells).numpy()
    for before, after in zip(maps, cleaned, strict=True):
        sizes = components(after)
        assert len(sizes) == 1 or min(sizes) >= min_cells
        assert before.shape == after.shape
    assert set(np.unique(cleaned)) <= set(np.unique(maps))


@settings(deadline=None, max_examples=30)
@given(maps=label_maps)
def test_the_given_maps_stay_as_they_are(maps):
    given_maps = torch.from_numpy(maps.copy())
    clean(given_maps, 4)
    np.testing.assert_array_equal(given_maps.numpy(), maps)


def test_a_flicker_of_one_frame_is_voted_away():
    maps = torch.zeros(5, 12, 12, dtype=torch.uint8)
    maps[:, 6:] = 1
    steady = maps.clone()
    maps[2, 2:4, 2:4] = 1
    assert torch.equal(clean(maps, 2), steady)


def test_a_tie_keeps_the_own_label():
    maps = torch.zeros(1, 8, 8, dtype=torch.uint8)
    maps[:, :, 4:] = 1
    assert torch.equal(clean(maps, 2), maps)
    four = picture("01", "23")
    assert torch.equal(clean(four, 4, min_cells=1), four)


def test_a_crumb_takes_the_label_of_most_of_its_border():
    crumb = picture("00000011", "00000011", "00022211", "00022211", "00022211", "00000011", "00000011")
    voted_crumb = picture("00000011", "00000011", "00002211", "00022211", "00002211", "00000011", "00000011")
    without = picture(*["00000011"] * 7)
    assert torch.equal(clean(crumb.expand(4, 7, 8), 3, min_cells=7), voted_crumb.expand(4, 7, 8))
    assert torch.equal(clean(crumb.expand(4, 7, 8), 3, min_cells=8), without.expand(4, 7, 8))


def test_smaller_crumbs_dissolve_first():
    ring = picture("000000", "011100", "012100", "011100", "000000").numpy()
    expected = picture("000000", "011100", "011100", "011100", "000000").numpy()
    np.testing.assert_array_equal(_dissolve(ring, 3, min_cells=9), expected)


def test_a_crumb_between_equals_takes_the_lowest_label():
    np.testing.assert_array_equal(_dissolve(picture("11200").numpy(), 3, min_cells=2), picture("11000").numpy())


def test_components_are_not_joined_over_corners_or_frames():
    maps = torch.zeros(2, 9, 9, dtype=torch.uint8)
    maps[0, 0:3, 0:3] = 1
    maps[0, 3:6, 3:6] = 1
    maps[1] = maps[0]
    assert clean(maps, 2, min_cells=10).eq(0).all()


def test_a_frame_smaller_than_a_crumb_becomes_one_label():
    cleaned = clean(picture("001", "001"), 2, min_cells=16)
    assert torch.equal(cleaned, torch.zeros_like(cleaned))


def test_labels_beyond_the_clusters_are_refused():
    with pytest.raises(UsageError, match="cluster 3 among 3 clusters"):
        clean(picture("03"), 3)


def scene(side: int = 40, t: int = 3) -> torch.Tensor:
    """Return background 0, squares 1, 2 and 3 that fit, dust 4 and a dot 5."""
    maps = torch.zeros(t, side, side, dtype=torch.uint8)
    maps[:, 2:12, 2:12] = 1
    maps[:, 2:12, 20:30] = 2
    maps[:, 20:30, 2:12] = 3
    maps[:, 32:40:2, 0:40:2] = 4
    maps[:, 25, 25] = 5
    return maps


def chosen_labels(maps: torch.Tensor, config: ObjectChoice, seed: int) -> list[int]:
    targets, count = choose_objects(maps, config, draws(seed))
    return [int(maps[targets == number].unique()) for number in range(1, count + 1)]


def test_only_what_looks_like_an_object_is_drawn_and_all_of_it_equally_often():
    drawn = [tuple(chosen_labels(scene(), ObjectChoice(), seed)) for seed in range(600)]
    pairs = {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    assert set(drawn) == pairs
    assert all(60 < drawn.count(pair) < 140 for pair in pairs)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_targets_are_the_drawn_clusters_and_nothing_else(dtype):
    maps = scene().to(dtype)
    targets, count = choose_objects(maps, ObjectChoice(), draws())
    assert count == 2
    assert targets.dtype == torch.int64
    assert targets.unique().tolist() == [0, 1, 2]
    for number in (1, 2):
        (label,) = maps[targets == number].unique()
        assert torch.equal(targets == number, maps == label)


def test_same_generator_state_same_targets():
    first, second = (choose_objects(scene(), ObjectChoice(), draws(7))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_an_object_must_have_its_area_in_every_frame():
    maps = scene()
    maps[1][maps[1] == 2] = 0  # gone in the second frame
    maps[2, 13:] = 3  # too large in the third
    assert chosen_labels(maps, ObjectChoice(), 0) == [1]


@pytest.mark.parametrize(("cells", "fits"), [(4, False), (5, True), (60, True), (61, False)])
def test_area_limits_are_inclusive(cells, fits):
    maps = torch.full((1, 10, 10), -1, dtype=torch.int64)
    maps.view(-1)[:cells] = 0
    config = ObjectChoice(min_area=0.05, max_area=0.6)
    assert choose_objects(maps, config, draws())[1] == fits


def test_an_object_must_hang_together():
    maps = torch.zeros(1, 40, 40, dtype=torch.uint8)
    maps[:, 0:30:10, 0:30:10] = 1
    maps[:, 5, 0:4] = 1  # 4 of 13 cells
    fits = ObjectChoice(objects=1, max_area=0.5, min_largest_component=4 / 13)
    assert choose_objects(maps, fits, draws())[1] == 1
    strict = ObjectChoice(objects=1, max_area=0.5, min_largest_component=4.01 / 13)
    assert choose_objects(maps, strict, draws())[1] == 0


def test_nothing_to_draw_is_all_background():
    targets, count = choose_objects(torch.zeros(2, 16, 16, dtype=torch.int64), ObjectChoice(), draws())
    assert count == 0
    assert targets.eq(0).all()


def test_outside_the_picture_there_is_no_object():
    maps = scene().long()
    maps[:, :, 20:] = -1
    targets, count = choose_objects(maps, ObjectChoice(objects=9), draws())
    assert count == 3  # 1, 3 and what was left of the background
    assert targets[maps == -1].eq(0).all()


def test_enlarged_maps_have_the_same_candidates():
    for seed in range(10):
        small, count = choose_objects(scene(32), ObjectChoice(), draws(seed))
        large, enlarged = choose_objects(enlarge(scene(32)), ObjectChoice(), draws(seed))
        assert count == enlarged
        assert torch.equal(enlarge(small), large)


def enlarge(maps: torch.Tensor) -> torch.Tensor:
    return maps.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)


@settings(deadline=None, max_examples=80)
@given(maps=label_maps, objects=st.integers(1, 3), seed=st.integers(0, 9))
def test_what_holds_for_any_choice(maps, objects, seed):
    config = ObjectChoice(min_area=0.1, max_area=0.6, min_largest_component=0.5, objects=objects)
    targets, count = choose_objects(torch.from_numpy(maps), config, draws(seed))
    assert 0 <= count <= objects
    assert set(targets.unique().tolist()) - {0} == set(range(1, count + 1))
    for number in range(1, count + 1):
        mask = targets.numpy() == number
        assert len(np.unique(maps[mask])) == 1
        assert (mask == (maps == maps[mask][0])).all()
        for frame in mask:
            assert 0.1 <= frame.mean() <= 0.6
            sizes = np.bincount(ndimage.label(frame)[0].ravel())[1:]
            assert sizes.max() >= 0.5 * sizes.sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_area": 0.0},
        {"min_area": 0.7},
        {"max_area": 1.5},
        {"min_largest_component": -0.1},
        {"objects": 0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        ObjectChoice(**wrong)


def test_objects_that_come_later_are_background():
    masks = torch.zeros(2, 3, 4, 4, dtype=torch.int64)
    masks[:, :, :2] = 3
    masks[0, 1:, 2:] = 1
    kept = known_at_first(masks)
    assert kept[0].unique().tolist() == [0, 3]
    assert torch.equal(kept[1], masks[1])
