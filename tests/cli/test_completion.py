import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from selfvos.cli import app, completion

CASES = {
    "selfvos tr": ({"track", "train"}, {"web"}),
    "selfvos track --preset m": ({"mask-vos", "mast"}, {"crw"}),
    "selfvos track --quality b": ({"balanced", "best"}, {"fast"}),
    "selfvos track --device c": ({"cpu", "cuda"}, {"mps"}),
    "selfvos track --weights d": ({"default"}, {"lab-patches"}),
    "selfvos track --export coco,cv": ({"coco,cvat-video", "coco,cvat-images"}, {"coco"}),
    "selfvos export result --to cv": ({"cvat-video"}, {"coco"}),
    "selfvos import x.json --from co": ({"coco"}, {"cvat-video"}),
    "selfvos convert x.pth --from c": ({"crw", "corrflow"}, {"vfs"}),
    "selfvos list pre": ({"presets"}, {"recipes"}),
    "selfvos train mask_vos": ({"mask_vos_resnet18_tiny"}, {"crw_resnet18"}),
    "selfvos score out davis-2016-v": ({"davis-2016-val"}, {"davis-2017-val"}),
    "selfvos data check jhmdb": ({"jhmdb-crw"}, {"folder"}),
    "selfvos ablate lo": ({"losses"}, {"rounds"}),
}
PROGRAM = """
import contextlib, io, json, os, sys
from selfvos.cli import main
sys.argv, offered = ["selfvos"], {}
for line in json.loads(os.environ["LINES_TO_COMPLETE"]):
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_SELFVOS_COMPLETE": "complete_bash"}
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main()
    offered[line] = shown.getvalue().split()
print(json.dumps({"offered": offered, "heavy": sorted({"torch", "numba", "av", "scipy"} & set(sys.modules))}))
"""


@pytest.fixture(scope="module")
def answers():
    """What the completion script of bash is told, by a process that has loaded nothing yet."""
    asked = os.environ | {"LINES_TO_COMPLETE": json.dumps(list(CASES))}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=asked, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(result.stdout)


@pytest.mark.parametrize("line", list(CASES))
def test_what_is_offered(answers, line):
    (some, none), offered = CASES[line], set(answers["offered"][line])
    assert some <= offered
    assert not none & offered


def test_nothing_heavy_is_loaded(answers):
    assert answers["heavy"] == []


def test_the_names_are_those_that_there_are():
    """In a process of its own: tests that ran before may have registered names of theirs."""
    kept = (Path(completion.__file__).parent / "names.json").read_text()
    found = subprocess.run([sys.executable, "-m", "selfvos.cli.completion"], capture_output=True, text=True, check=True)
    assert json.loads(kept) == json.loads(found.stdout), "run `make names`"


def test_every_help_has_an_example():
    """Of every command, of every group, and of the program itself."""

    def walk(command, path):
        example = re.search(r"Example: `(.*?)`", command.help or "", flags=re.S)
        assert example, " ".join(path)
        assert example[1].startswith("selfvos " if len(path) == 1 else " ".join(path)), example[1]
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])
            count.append(name)

    count = []
    walk(typer.main.get_command(app), ["selfvos"])
    assert len(count) >= 19
