"""What every backbone promises, whoever adds one."""

from itertools import product
from unittest.mock import DEFAULT, patch

import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES


def fitting(name: str) -> list[tuple[int, int]]:
    """Return the strides and stages that a factory does not refuse, without spending time on weights."""
    accepted = []
    for stride, last_stage in product((4, 8, 14, 16), (3, 4)):
        try:
            with torch.device("meta"), patch.multiple(torch.nn.init, kaiming_normal_=DEFAULT, trunc_normal_=DEFAULT):
                BACKBONES.get(name)(stride=stride, last_stage=last_stage)
        except UsageError:
            continue
        accepted.append((stride, last_stage))
    return accepted


CASES = [(name, stride, stage) for name in BACKBONES.names() for stride, stage in fitting(name)]


def test_every_backbone_comes_at_some_stride():
    assert {name for name, _, _ in CASES} == set(BACKBONES.names())


@pytest.mark.parametrize(("name", "stride", "last_stage"), CASES)
def test_declared_strides_and_channels_are_true(name, stride, last_stage):
    y, x = (2 * stride, 3 * stride) if stride > 8 else (32, 48)
    with torch.device("meta"):
        body = BACKBONES.get(name)(stride=stride, last_stage=last_stage).eval()
        stages = body(torch.rand(2, 3, y, x))
    assert set(stages) == set(body.channels) == set(body.strides)
    assert body.strides[body.last] == stride
    for stage, feature in stages.items():
        step = body.strides[stage]
        assert feature.shape == (2, body.channels[stage], y // step, x // step)


@pytest.mark.parametrize("name", BACKBONES.names())
@torch.no_grad()
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name):
    stride, last_stage = fitting(name)[0]
    body = BACKBONES.get(name)(stride=stride, last_stage=last_stage).eval()
    frames = body.prepare(torch.rand(3, 3, 4 * stride, 5 * stride))
    together, alone = body(frames)[body.last][:1], body(frames[:1])[body.last]
    torch.testing.assert_close(together / alone.std(), alone / alone.std(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", BACKBONES.names())
@pytest.mark.parametrize(("stride", "last_stage"), [(32, 4), (8, 2)])
def test_other_strides_and_depths_are_refused_by_networks_with_stages(name, stride, last_stage):
    if name == "lab-patches" and stride == 8:
        assert BACKBONES.get(name)(stride=8, last_stage=2).strides == {"patch": 8}
        return
    with pytest.raises(UsageError, match="stride"):
        BACKBONES.get(name)(stride=stride, last_stage=last_stage)
