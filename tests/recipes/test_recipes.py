import json

import numpy as np
import pytest
import torch
from PIL import Image

from selfvos.data.video_cache import build_video_cache
from selfvos.models.segmenter import Segmenter
from selfvos.recipes import RECIPES, mask_vos_resnet18
from selfvos.settings import from_dict, override, to_dict
from selfvos.tracking.settings import TrackConfig
from selfvos.training.fit import fit
from selfvos.training.settings import TrainConfig
from selfvos.training.step import TrainingStep

SMALL = [
    "warmup.epochs=1",
    "warmup.steps_per_epoch=1",
    "warmup.batch_clips=2",
    "joint.epochs=1",
    "joint.steps_per_epoch=1",
    "joint.batch_clips=2",
    "pseudo_masks.short_side_px=64",
    "clips.crop_px=64",
    "precision=float32",
]


@pytest.fixture(scope="module")
def video_cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number in range(2):
        ground = np.kron(rng.integers(0, 160, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        (root / f"v{number}").mkdir()
        for t in range(16):
            frame = ground.copy()
            frame[16:48, 4 * t : 4 * t + 28] = (250, 200, 40)
            Image.fromarray(frame).save(root / f"v{number}" / f"{t:02d}.png")
    return build_video_cache([root], cache=tmp_path_factory.mktemp("cache"), short_side_px=320)


@pytest.mark.parametrize("name", RECIPES.names())
def test_both_phases_of_every_recipe_run(name, video_cache, tmp_path, tiny_resnet):
    """Everything is the recipe's own but its backbone, which is narrow; the next test is for that."""
    recipe = RECIPES.get(name)()
    # The paper's V and D are large to write down; its own recipe is enough to run them.
    slim = ["model.mask_path=slim"] if recipe.model.mask_path == "full" and name != "mask_vos_resnet18" else []
    coarse = ["clips.crop_px=128"] if recipe.model.stride == 16 else []
    config = override(recipe, [*SMALL, f"model.backbone={tiny_resnet}", *slim, *coarse])
    fit(config, video_cache, tmp_path, device=torch.device("cpu"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["warmup", "joint"]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert {"l_seg", "l_refine", "stm", "rgmp"} & lines[1].keys()


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_objective_fits_the_network_that_its_recipe_names(name):
    recipe = RECIPES.get(name)()
    with torch.device("meta"):  # shapes and names without numbers
        model = Segmenter(recipe.model).eval()
        features = model.encode_frame(torch.empty(1, 3, 64, 64))
        channels = {name: each.shape[1] for name, each in (("base", features.base), *features.stages.items())}
        for phase in (recipe.warmup, recipe.joint):
            objectives = TrainingStep(model, phase.objectives).objectives
            assert len(objectives) == len(phase.objectives)
            for config in (objective.config for objective in objectives):
                if hasattr(config, "feature_channels"):
                    assert config.feature_channels == channels[getattr(config, "feature", "base")]


@pytest.mark.parametrize("name", RECIPES.names())
def test_settings_survive_being_written_down(name):
    config = RECIPES.get(name)()
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config
    from_dict(TrackConfig, config.track)


def test_the_papers_numbers():
    config = mask_vos_resnet18()
    assert (config.pseudo_masks.clusters.clusters, config.pseudo_masks.refresh_epochs) == (5, 10)
    assert (config.warmup.batch_clips, config.joint.batch_clips, config.clips.crop_px) == (16, 12, 256)
    optimizer = config.warmup.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-4, (0.5, 0.999), 5e-4)
    assert config.model.mask_path == "full"
    assert {spec.name: spec.weight for spec in config.joint.objectives} == {"l_seg": 1.0, "l_short": 1.0, "l_long": 1.0}
