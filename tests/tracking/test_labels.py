import torch

from selfvos.ops import masks as mask_ops
from selfvos.ops.labels import fold, stretch, unfold
from selfvos.tracking.labels import telling_cells, with_changes


def faded() -> torch.Tensor:
    """Background, an object that faded to 0.7 at most, and one of which 0.2 is left."""
    maps = torch.zeros(3, 4, 4)
    maps[1, 1, 1], maps[1, 1, 2] = 0.7, 0.42
    maps[2, 3, 3] = 0.2
    maps[0] = 1 - maps[1:].sum(dim=0)
    return maps


def test_a_faded_object_is_sure_again_and_wins_where_it_was_close():
    maps = faded()
    found = stretch(maps, 0.5)
    assert maps[:, 1, 2].argmax() == 0
    assert found[:, 1, 2].argmax() == 1
    assert found[1, 1, 1] == 1
    assert found[0].amin() == 0


def test_a_cell_holds_its_parts_object_by_object():
    maps = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6).float()
    folded = fold(maps, 2)
    assert folded.shape == (6, 8)
    assert torch.equal(folded[4], torch.cat([maps[0, o, 2:4, 2:4].flatten() for o in (0, 1)]))
    assert torch.equal(unfold(folded, (2, 3), 2), maps[0])


def test_nothing_but_changes_are_taken_over_from_refined_masks():
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 4, 6).softmax(dim=1)
    refined = mask_ops.to_pixels(coarse, 4)
    torch.testing.assert_close(with_changes(coarse, refined, 4), coarse)
    assert (mask_ops.to_cells(refined, 4) - coarse).abs().max() > 0.01

    refined[..., 4:8, 8:12] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    found = with_changes(coarse, refined, 4)
    assert found[0, 1, 1, 2] > coarse[0, 1, 1, 2] + 0.3
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 4, 6))
    found[..., 1, 2] = coarse[..., 1, 2]
    torch.testing.assert_close(found, coarse)


def test_what_is_lost_stays_lost():
    found = stretch(faded(), 0.5)
    assert found[2].amax() < 0.5
    assert stretch(faded(), 0.1)[2].amax() > 0.5


def test_channels_sum_to_one_and_sure_labels_stay_as_they_are():
    torch.testing.assert_close(stretch(faded(), 0.5).sum(dim=0), torch.ones(4, 4))
    sure = torch.zeros(2, 4, 4)
    sure[1, :2], sure[0, 2:] = 1, 1
    assert torch.equal(stretch(sure, 0.5), sure)


def test_cells_tell_of_objects_where_they_or_a_neighbour_hold_some():
    labels = torch.zeros(1, 2, 10, 14)
    labels[:, 0] = 1
    labels[0, :, 5, 7] = torch.tensor([0.9, 0.1])
    wanted = torch.zeros(5, 7, dtype=torch.bool)
    wanted[1:4, 2:5] = True
    assert telling_cells(labels[:, :1], 2).equal(wanted)
    labels[0, :, 5, 7] = torch.tensor([0.995, 0.005])
    assert not telling_cells(labels[:, :1], 2).any(), "a trace is not an object"
