"""A new training signal is one file: no list to edit, no import to add. The file is the example in the docs."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from selfvos.settings import to_dict
from selfvos.training.settings import ObjectiveSpec

PAGE = Path(__file__).parents[2] / "docs" / "objectives" / "index.md"
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
from selfvos import api
selfvos.train(config, videos=api.open_video_cache(videos, config, cache=cache), out=run, device="cpu")
sys.argv = ["selfvos", "list", "objectives"]
main()
"""


def test_an_objective_in_a_file_of_its_own_trains_and_is_listed(config, videos, cache, tmp_path):
    package = tmp_path / "objectives"
    package.mkdir()
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (package / "stillness.py").write_text(example)
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
    assert listed["stillness"].endswith("Draws together what two frames of a clip show at one place.")
    assert "crw" in listed
