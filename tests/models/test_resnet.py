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


@pytest.mark.parametrize(("stride", "last_stage"), [(32, 4), (8, 2)])
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


def test_mirrored_borders_change_the_border_alone():
    torch.manual_seed(0)
    plain = BACKBONES.get("resnet18")(stride=8, last_stage=3).eval()
    mirrored = BACKBONES.get("resnet18-reflect")(stride=8, last_stage=3).eval()
    mirrored.load_state_dict(plain.state_dict())
    frames = torch.rand(1, 3, 320, 320)
    with torch.no_grad():
        a, b = plain(frames)["layer1"], mirrored(frames)["layer1"]
    torch.testing.assert_close(a[..., 10:-10, 10:-10], b[..., 10:-10, 10:-10], atol=1e-4, rtol=1e-4)
    assert (a - b)[..., 0, :].abs().max() > 1e-2


def test_the_grey_network_is_blind_to_colour_and_the_plain_one_is_not():
    grey, plain = (BACKBONES.get(name)(stride=8, last_stage=3) for name in ("resnet18-grey", "resnet18"))
    black, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    torch.testing.assert_close(grey.prepare(black), plain.prepare(black))
    torch.testing.assert_close(grey.prepare(white), plain.prepare(white), atol=1e-4, rtol=1e-4)
    blue_and_grey = torch.stack([torch.tensor([0.0, 0.0, 1.0]), torch.full((3,), 0.2995)]).view(2, 3, 1, 1)
    prepared = grey.prepare(blue_and_grey.expand(2, 3, 8, 8))
    torch.testing.assert_close(prepared[0], prepared[1], atol=0.02, rtol=0)
