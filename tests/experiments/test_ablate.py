import csv
import json
import shutil

import pytest
from PIL import Image

from selfvos import api, cli
from selfvos.experiments import planning
from selfvos.experiments.ablate import ablate
from selfvos.experiments.compare import Budget
from selfvos.experiments.tables import TABLES

TRAIN = (
    *("model.last_stage=3", "model.mask_path=slim", "model.key_channels=16", "clips.crop_px=64"),
    *("clips.crop.max_short_side=1.0", "clips.offsets=[0, 1, 2]", "clips.frame_step=1", "precision=float32"),
    *("warmup.batch_clips=2", "joint.batch_clips=2", "pseudo_masks.short_side_px=64", "picture_steps=1000"),
)
STEPS = 4


@pytest.fixture(scope="session")
def asked(videos, tmp_path_factory):
    """Make the plan of a table in a folder."""
    cache = tmp_path_factory.mktemp("cache")

    def make(name, out, **more):
        budget = Budget(videos=(videos,), steps=STEPS, train=TRAIN, track=("short_side_px=64",), cache=cache)
        return planning.plan(TABLES.get(name), out, budget, **more)

    return make


@pytest.fixture(scope="session")
def losses(asked, root, tmp_path_factory):
    """Table 4a, run with two seeds in a few steps."""
    out = tmp_path_factory.mktemp("losses")
    seen = []
    found = ablate(asked("losses", out, seeds=2), "folder", root=root, out=out, watch=lambda *a: seen.append(a))
    return out, found, seen


def test_the_losses_table(losses):
    out, found, seen = losses
    print(found.rows())
