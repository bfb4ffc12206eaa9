import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.mast import LIIRNet, MASTNet


def test_stages_and_their_grids():
    body = BACKBONES.get("mast-resnet18")(stride=4, last_stage=4)
    assert body.channels == {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 256, "embedding": 64}
    assert body.strides == {"layer1": 2, "layer2": 4, "layer3": 4, "layer4": 4, "embedding": 4}


def test_colours_as_each_method_wants_them():
    white, red = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    mast, corrflow = (BACKBONES.get(f"{name}-resnet18")(stride=4, last_stage=4) for name in ("mast", "corrflow"))
    torch.testing.assert_close(mast.prepare(white)[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-3, rtol=0)
    # sRGB red is (53.24, 80.09, 67.20) in Lab.
    expected = torch.tensor([0.0648, 80.09 / 127, 67.20 / 127])
    torch.testing.assert_close(mast.prepare(red)[0, :, 0, 0], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(corrflow.prepare(red), red)


@torch.no_grad()
def test_positions_are_added_behind_the_stem():
    torch.manual_seed(0)
    plain, placed = MASTNet().eval(), LIIRNet().eval()
    placed.load_state_dict({**plain.state_dict(), "pos_embed1": torch.zeros(1, 64, 128, 128)})
    frames = torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(placed(frames)["embedding"], plain(frames)["embedding"])
    placed.pos_embed1 += 0.5
    torch.testing.assert_close(placed.stem(frames), plain.stem(frames) + 0.5)


@pytest.mark.parametrize(("stride", "last_stage"), [(8, 4), (4, 3)])
def test_what_does_not_fit_is_refused(stride, last_stage):
    with pytest.raises(UsageError, match="stride 4 and ends at stage 4"):
        BACKBONES.get("mast-resnet18")(stride=stride, last_stage=last_stage)
