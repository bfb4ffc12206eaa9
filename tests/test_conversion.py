import pytest
import torch

from selfvos.api.conversion import convert
from selfvos.api.weights import load
from selfvos.errors import UnknownName, UsageError, WeightsMismatch
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.weights import WeightsNotes
from selfvos.settings import to_dict
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.system import recommended


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    state = BACKBONES.get("resnet18")(stride=8, last_stage=4).state_dict()
    path = tmp_path_factory.mktemp("published") / "crw.pth"
    torch.save({"model": {f"encoder.model.{name}": tensor for name, tensor in state.items()}}, path)
    return path


def test_a_published_checkpoint_becomes_weights_that_load_and_say_how_to_track(checkpoint, tmp_path):
    out = convert(checkpoint, format="crw", out=tmp_path / "crw.safetensors")
    assert out == tmp_path / "crw.safetensors"
    model = load(out, device="cpu")
    published = torch.load(checkpoint, weights_only=True)["model"]
    for name, tensor in model.encoder.backbone.state_dict().items():
        assert torch.equal(tensor, published[f"encoder.model.{name}"])
    assert recommended(model) == PRESETS.get("crw")
    assert model.notes == WeightsNotes(format="crw", track=to_dict(PRESETS.get("crw")), untrained=("encoder.key_head",))


def test_what_cannot_be_done_is_refused_and_nothing_is_written(checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"no \.safetensors file"):
        convert(checkpoint, format="crw", out=tmp_path / "crw.pth")
    with pytest.raises(UnknownName, match="checkpoint format"):
        convert(checkpoint, format="crv", out=tmp_path / "a.safetensors")
    with pytest.raises(WeightsMismatch, match=r"crw\.pth"):
        convert(checkpoint, format="uvc", out=tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []
