"""A new training signal is one file: no list to edit, no import to add, no other line to change."""

import json
import math
import subprocess
import sys
from dataclasses import replace

from selfvos.settings import to_dict
from selfvos.training.settings import ObjectiveSpec

OBJECTIVE = '''
"""Stillness: what successive frames show at one place looks alike."""

from dataclasses import dataclass

from selfvos.objectives.base import OBJECTIVES, Objective
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class StillnessConfig:
    """How alike is alike enough."""

    wanted: float = 1.0
    """Cosine above which nothing is asked for."""


@OBJECTIVES.register("stillness")
class Stillness(Objective):
    """Draws together what two successive frames show at one place."""

    Config = StillnessConfig

    def forward(self, clip, generator):
        """Return how far the mean cosine is from the wanted one."""
        cosine = (clip.key(0) * clip.key(1)).sum(dim=1)
        loss = (self.config.wanted - cosine).relu().mean()
        return LossTerms(loss, {"stillness": loss.detach()})
'''
# A process of its own: the other tests' registry stays as it is, and this one is filled as a user's would be.
PROGRAM = """
import json, sys
import selfvos, selfvos.objectives
from selfvos.cli import main
from selfvos.settings import from_dict
from selfvos.training.settings import TrainConfig

folder, videos, cache, run, settings = sys.argv[1:]
selfvos.objectives.__path__.append(folder)  # its file lies there as it would lie in the package
config = from_dict(TrainConfig, json.loads(settings))
selfvos.train(config, videos=videos, out=run, cache=cache, device="cpu")
sys.argv = ["selfvos", "list", "objectives"]
main()
"""


def test_an_objective_in_a_file_of_its_own_trains_and_is_listed(config, videos, cache, tmp_path):
    package = tmp_path / "objectives"
    package.mkdir()
    (package / "stillness.py").write_text(OBJECTIVE)
    phase = replace(config.warmup, epochs=1, objectives=(ObjectiveSpec(name="stillness", settings={"wanted": 0.99}),))
    settings = json.dumps(to_dict(replace(config, warmup=phase, joint=replace(config.joint, epochs=0))))
    arguments = [package, videos, cache, tmp_path / "run", settings]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2]
    assert all(math.isfinite(step["stillness"]) and step["gradient_norm"] > 0 for step in steps)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    listed = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert listed["stillness"].endswith("Draws together what two successive frames show at one place.")
    assert "crw" in listed
