from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.carrying import CarryConfig, carry_labels
from selfvos.ops.matching import MatchConfig

SHARP = CarryConfig(match=MatchConfig(top_k=1, radius_cells=4.0), scale=2)


def moving(steps=3, by=1):
    """Cells of which no two are alike, moving to the right; their pictures; the labels of a 3 x 3 object."""
    noise = torch.Generator().manual_seed(0)
    scene = F.normalize(torch.randn(8, 24, 16, generator=noise), dim=-1)
    picture = torch.randint(0, 255, (16, 48, 3), generator=noise, dtype=torch.uint8)
    places = [8 - by * t for t in range(steps)]
    keys = torch.stack([scene[:, x : x + 12] for x in places])
    pictures = [picture[:, 2 * x : 2 * x + 24] for x in places]
    labels = torch.zeros(2, 16, 24)
    labels[1, 4:10, 4:10] = 1
    labels[0] = 1 - labels[1]
    return keys, pictures, labels


@pytest.mark.parametrize("config", [SHARP, replace(SHARP, align=AlignConfig(), restore_contrast=True, reach_cells=3.0)])
def test_labels_go_where_the_cells_go(config):
    keys, pictures, labels = moving()
    carried = carry_labels(keys, pictures, labels, config)
    assert len(carried) == 2
    for t, found in enumerate(carried, start=1):
        old = slice(2 * t, None)  # what has entered the picture at its left is like nothing in memory
        torch.testing.assert_close(found.labels[..., old], labels.roll(2 * t, dims=-1)[..., old])
        assert found.matches.index.max() < t * 8 * 12


def test_a_flaw_is_remembered():
    """What is lost in the second frame is missing in the third, where only the second is near enough to be matched."""
    keys, pictures, labels = moving(by=3)
    config = replace(SHARP, match=MatchConfig(top_k=1, radius_cells=4.0, exempt_permanent=False))
    whole = carry_labels(keys, pictures, labels, config)[-1].labels

    def lose(maps):
        return torch.stack([torch.ones_like(maps[0]), torch.zeros_like(maps[1])])

    assert whole[1].sum() > 0
    assert carry_labels(keys, pictures, labels, config, lose)[-1].labels[1].sum() == 0


def test_what_turns_up_far_away_is_background():
    keys, pictures, labels = moving(steps=2, by=0)
    keys = keys.clone()
    keys[1, :, 10:] = keys[0, 3, 3]  # cells of the object, far from it
    free = replace(SHARP, match=MatchConfig(top_k=1))
    alone = [carry_labels(keys, pictures, labels, replace(free, reach_cells=r))[0].labels[1] for r in (None, 2.0)]
    assert alone[0][:, 20:].sum() > 0
    assert alone[1][:, 20:].sum() == 0
    assert alone[1][:, :16].sum() > 0


def test_a_scale_below_one_is_refused():
    with pytest.raises(UsageError, match="scale"):
        CarryConfig(scale=0)
