import json
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import picture, truth, write_video

from selfvos import api
from selfvos.batch.job import Job, Plan
from selfvos.batch.manifest import read_manifest
from selfvos.data.mask_png import write_mask

FRAMES = 4


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Folder of four small videos with their masks, and `m.jsonl`, their manifest."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number in range(4):
        name = f"clip{number}"
        write_video(folder / f"{name}.mp4", (np.roll(picture(t), number, axis=0) for t in range(FRAMES)))
        write_mask(folder / f"{name}.png", np.roll(truth(0), number, axis=0))
        rows.append({"video": f"{name}.mp4", "mask": f"{name}.png"})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def model():
    """A network without weights, fast enough for any test."""
    return api.load("lab-patches", device="cpu")


@pytest.fixture(params=["parquet", "folders"])
def plan(request, tmp_path) -> Plan:
    return Plan(
        out=str(tmp_path / "out"),
        layout=request.param,
        weights="lab-patches",
        device="cpu",
        settings=("short_side_px=64",),
    )


@pytest.fixture
def jobs(clips, plan) -> list[Job]:
    return [Job(row, plan) for row in read_manifest(clips / "m.jsonl")]
