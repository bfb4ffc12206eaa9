import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfvos.errors import UsageError, WeightsMismatch
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, digest, load_into, load_weights, save_weights

TINY = SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none", key_channels=8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Segmenter(TINY).eval()


def test_round_trip_keeps_every_bit_and_the_notes(model, tmp_path):
    mark = save_weights(tmp_path / "w.safetensors", model, notes=WeightsNotes(track={"refine": {"rounds": 0}}))
    loaded, card = load_weights(tmp_path / "w.safetensors")
    assert card.digest == mark == digest(loaded.state_dict())
    assert card.settings == TINY
    assert loaded.notes == WeightsNotes(track={"refine": {"rounds": 0}})
    assert not loaded.training


def test_half_precision_halves_the_file_and_hardly_moves_the_key(model, tmp_path):
    save_weights(tmp_path / "full.safetensors", model)
    save_weights(tmp_path / "half.safetensors", model, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.51 * sizes[1]
    loaded, _ = load_weights(tmp_path / "half.safetensors")
    frames = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.encode_frame(frames).key, model.encode_frame(frames).key, atol=1e-2, rtol=1e-2
        )


def test_one_flipped_byte_is_noticed(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsMismatch, match="damaged"):
        load_weights(path)


@pytest.mark.parametrize("content", [b"", b"junk" * 10, b"\xff" * 8 + b"{}"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsMismatch, match="not a readable"):
        load_weights(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsMismatch, match="not written by"):
        load_weights(tmp_path / "w.safetensors")


def test_a_missing_file_is_a_wrong_argument(tmp_path):
    with pytest.raises(UsageError, match="no weights at"):
        load_weights(tmp_path / "none.safetensors")


def test_another_architecture_is_refused_naming_the_first_tensors(model, tmp_path):
    tensors = dict(model.state_dict())
    tensors["encoder.backbone.conv1.weight"] = torch.zeros(64, 4, 7, 7)
    tensors["extra"] = torch.zeros(1)
    del tensors["encoder.backbone.bn1.weight"]
    with pytest.raises(WeightsMismatch) as caught:
        load_into(model, tensors, source="file")
    for part in ("bn1.weight missing", "extra unexpected", "is (64, 4, 7, 7), expected (64, 3, 7, 7)"):
        assert part in str(caught.value)


def test_settings_in_the_file_that_do_not_fit_its_tensors_are_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model)
    header = {"format": 1, "digest": digest(load_file(path)), "segmenter": {"backbone": "resnet50"}, "notes": {}}
    save_file(load_file(path), path, metadata={"selfvos": json.dumps(header)})
    with pytest.raises(WeightsMismatch, match="another architecture"):
        load_weights(path)
