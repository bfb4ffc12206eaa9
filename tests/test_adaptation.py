import numpy as np
import pytest
import torch
from PIL import Image

from selfvos import api, cli
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, load_weights, save_weights

FEW = ("warmup.steps_per_epoch=2", "warmup.batch_clips=2", "clips.crop_px=64")


@pytest.fixture
def video(tmp_path):
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(40, 120, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    (tmp_path / "video").mkdir()
    for t in range(10):
        frame = ground.copy()
        frame[20:44, 4 + 5 * t : 28 + 5 * t] = (230, 60, 30)
        Image.fromarray(frame).save(tmp_path / "video" / f"{t:05d}.png")
    return tmp_path / "video"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim", key_channels=16))
    save_weights(
        tmp_path / "before.safetensors",
        model,
        notes=WeightsNotes(track={"feature": {"stage": "layer3"}, "refine": {"rounds": 2}}),
    )
    return tmp_path / "before.safetensors"


def test_the_encoder_learns_and_all_else_stays(video, weights, tmp_path):
    before = load_weights(weights)[0]
    start = load_weights(weights)[0]
    config = api.adaptation(start, FEW)
    cached = api.open_video_cache(video, config, cache=tmp_path / "cache")
    path = api.adapt(start, videos=cached, out=tmp_path / "run", config=config)
    after, card = load_weights(path)
    changed = {name for name, old in before.state_dict().items() if not torch.equal(old, after.state_dict()[name])}
    assert "encoder.backbone.conv1.weight" in changed
    assert all(name.startswith("encoder.") for name in changed)
    assert card.notes.track == {"feature": {"stage": "layer3"}, "refine": {"rounds": 2}}
    assert card.notes.steps == 2


def test_a_recipe_with_another_mask_path_sets_a_new_one_beside_the_encoder(video, weights, tmp_path):
    before = load_weights(weights)[0]
    sets = ["warmup.epochs=0", "joint.epochs=0", "model.key_channels=16"]
    config = api.recipe("mask_vos_resnet18_wide", sets)
    path = api.adapt(load_weights(weights)[0], videos=video, out=tmp_path / "run", config=config)
    after, card = load_weights(path)
    assert card.settings.mask_path == "wide"
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(value, after.encoder.state_dict()[name])


def test_a_network_that_learns_nothing_is_refused(video, tmp_path):
    with pytest.raises(UsageError, match="lab-patches has no weights that could adapt"):
        api.adapt(api.load("lab-patches"), videos=video, out=tmp_path / "run")


def test_the_command_says_how_to_use_what_it_made(video, weights, tmp_path, monkeypatch, capsys):
    sets = [part for setting in FEW for part in ("--set", setting)]
    arguments = ["adapt", video, "--weights", weights, "--out", tmp_path / "run", "--cache", tmp_path / "cache", *sets]
    monkeypatch.setattr("sys.argv", ["selfvos", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    shown = capsys.readouterr()
    assert end.value.code == 0, shown.err
    assert "selfvos track VIDEO --mask FIRST.png --weights" in shown.out
    assert (tmp_path / "run" / "weights.safetensors").is_file()
