import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES

# Parameters of torchvision's models without their classifier (11,689,512 - 513,000 and 25,557,032 - 2,049,000).
BODY_PARAMETERS = {"resnet18": 11_176_512, "resnet50": 23_508_032}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_body_has_as_many_parameters_as_the_published_one(name):
    body = BACKBONES.get(name)(stride=8, last_stage=4)
    assert sum(p.numel() for p in body.parameters()) == BODY_PARAMETERS[name]


def test_state_dict_names_are_those_of_published_weights():
    names = set(BACKBONES.get("resnet18")(stride=8, last_stage=4).state_dict())
    expected = {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer1.1.bn2.bias",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_var",
        "layer4.1.conv2.weight",
    }
    assert expected <= names
    assert not any("fc" in name or "mean_" in name for name in names)
    assert "layer1.0.downsample.0.weight" not in names
    deep = set(BACKBONES.get("resnet50")(stride=8, last_stage=4).state_dict())
    assert {"layer1.0.conv3.weight", "layer1.0.downsample.0.weight", "layer3.5.bn3.weight"} <= deep


@pytest.mark.parametrize("name", BACKBONES.names())
@pytest.mark.parametrize("stride", [4, 8])
def test_declared_strides_and_channels_are_true(name, stride):
    body = BACKBONES.get(name)(stride=stride, last_stage=3).eval()
    frames = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        stages = body(body.prepare(frames))
    assert set(stages) == set(body.channels) == set(body.strides)
    assert body.strides[body.last] == stride
    for stage, feature in stages.items():
        assert feature.shape == (1, body.channels[stage], 32 // body.strides[stage], 48 // body.strides[stage])


@pytest.mark.parametrize("name", BACKBONES.names())
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name):
    body = BACKBONES.get(name)(stride=8, last_stage=3).eval()
    frames = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        together, alone = body(frames)[body.last][:1], body(frames[:1])[body.last]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("stride", "last_stage"), [(16, 4), (8, 2)])
def test_other_strides_and_depths_are_refused(stride, last_stage):
    with pytest.raises(UsageError, match="stride"):
        BACKBONES.get("resnet18")(stride=stride, last_stage=last_stage)


def test_lab_patches_tell_colours_apart_and_ignore_nothing():
    body = BACKBONES.get("lab-patches")(stride=8, last_stage=4)
    frames = torch.zeros(1, 3, 8, 16)
    frames[:, 0, :, 8:] = 1  # black beside red
    cells = body(body.prepare(frames))["patch"][0, :, 0]
    assert cells.shape == (49, 2)
    assert torch.cosine_similarity(cells[:, 0], cells[:, 1], dim=0) < 0.5
