import pytest
import torch

from selfvos.errors import UsageError
from selfvos.ops.matched import check_matched, matched
from selfvos.types import FrameFeatures


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    stages = {"layer1": (4, 8), "layer2": (6, 4), "layer3": (8, 4)}
    return FrameFeatures(
        key=torch.zeros(2, 3, 4, 4),
        base=torch.zeros(2, 8, 4, 4),
        stages={name: torch.randn(2, c, side, side, generator=generator) for name, (c, side) in stages.items()},
    )


def test_stages_have_equal_shares_of_unit_length(features):
    both = matched(features, "layer2+layer3")
    assert both.shape == (2, 14, 4, 4)
    torch.testing.assert_close(both[:, :6].norm(dim=1), torch.full((2, 4, 4), 0.5**0.5))
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2, 4, 4))


def test_a_stage_is_interpolated_before_it_is_brought_to_unit_length(features):
    finer = matched(features, "layer3", scale=2)
    torch.testing.assert_close(finer.norm(dim=1), torch.ones(2, 8, 8))
    assert torch.equal(matched(features, "layer3", unit_length=False), features.stages["layer3"])


def test_views_of_other_sizes_lie_on_the_same_cells_with_equal_shares(features):
    smaller = FrameFeatures(
        key=features.key,
        base=features.base,
        stages={name: stage[:, :, ::2, ::2] for name, stage in features.stages.items()},
    )
    both = matched(features, "layer2+layer3", beside=[smaller])
    assert both.shape == (2, 28, 4, 4)
    torch.testing.assert_close(both[:, :14] * 2**0.5, matched(features, "layer2+layer3"))
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2, 4, 4))
    constant = FrameFeatures(key=features.key, base=features.base, stages={"layer3": torch.ones(2, 8, 3, 2)})
    raw = matched(features, "layer3", unit_length=False, beside=[constant])
    torch.testing.assert_close(raw[:, 8:], torch.ones(2, 8, 4, 4))
    assert matched(features, "layer3", scale=2, beside=[constant]).shape == (2, 16, 8, 8)


def test_the_key_is_taken_as_it_is(features):
    assert matched(features, "key") is features.key


def test_stages_on_different_grids_and_unknown_ones_are_refused(features):
    with pytest.raises(UsageError, match="'layer1.layer3' have cells of different sizes"):
        matched(features, "layer1+layer3")
    check_matched("layer2+layer3", features.stages)
    for name in ("layer9", "layer3+key", "layer2+", ""):
        with pytest.raises(UsageError, match="unknown feature"):
            check_matched(name, features.stages)
