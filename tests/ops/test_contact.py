import numpy as np
import pytest
import torch
from scipy import ndimage

from selfvos.ops.contact import drop_apart, without


def _map(*places: tuple[slice, slice], side: int = 20) -> torch.Tensor:
    cells = torch.zeros(1, side, side)
    for y, x in places:
        cells[0, y, x] = 0.9
    return cells


BODY = (slice(2, 6), slice(2, 6))
FAR = (slice(12, 16), slice(12, 16))


def test_what_appears_far_from_the_object_is_not_it():
    apart = drop_apart(_map(BODY, FAR), _map(BODY), 4.0)
    assert torch.equal(apart, _map(FAR) > 0)


def test_what_appears_within_reach_is():
    assert not drop_apart(_map(BODY, FAR), _map(BODY), 7.0).any()


def test_what_touches_the_object_belongs_to_it_however_far_it_reaches():
    assert not drop_apart(_map(BODY, (slice(5, 6), slice(6, 20))), _map(BODY), 2.0).any()


def test_an_object_that_was_nowhere_may_appear_anywhere():
    assert not drop_apart(_map(FAR), _map(BODY) * 0.5, 2.0).any()


def test_objects_are_taken_one_by_one():
    now = torch.cat([_map(BODY, FAR), _map(BODY, FAR)])
    before = torch.cat([_map(BODY), _map(FAR)])
    apart = drop_apart(now, before, 2.0)
    assert torch.equal(apart, torch.cat([_map(FAR) > 0, _map(BODY) > 0]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [0.0, 2.5, 100.0])
def test_parts_are_those_that_scipy_finds(seed, reach):
    cells = torch.rand(2, 17, 23, generator=torch.Generator().manual_seed(seed))
    now, before = (cells > 0.6).float(), (cells.flip(2) > 0.995).float()
    for found, parts, present in zip(drop_apart(now, before, reach), now.numpy() > 0, before.numpy() > 0, strict=True):
        numbered, _ = ndimage.label(parts, structure=np.ones((3, 3)))
        near = parts & (ndimage.distance_transform_cdt(~present, "chessboard") <= reach)
        wanted = parts & ~np.isin(numbered, np.unique(numbered[near])) & present.any()
        assert (found.numpy() == wanted).all()


@pytest.mark.parametrize("scale", [1, 4])
def test_what_is_dropped_is_background_in_all_its_labels(scale):
    labels = torch.rand(3, 20 * scale, 20 * scale, generator=torch.Generator().manual_seed(0)).softmax(dim=0)
    apart = torch.zeros(2, 20, 20, dtype=torch.bool)
    apart[0, 3, 4] = True
    found = without(labels, apart)
    place = slice(3 * scale, 4 * scale), slice(4 * scale, 5 * scale)
    assert not found[1][place].any()
    torch.testing.assert_close(found[0][place], (labels[0] + labels[1])[place])
    torch.testing.assert_close(found[2], labels[2])
    torch.testing.assert_close(found.sum(dim=0), torch.ones(20 * scale, 20 * scale))
    found[:2, place[0], place[1]] = labels[:2, place[0], place[1]]
    assert torch.equal(found, labels)
