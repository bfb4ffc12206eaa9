"""The README and the task pages do what they say: all their commands and programs run, on inputs that are tiny."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from glob import glob
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import tiny

from selfvos import api, cli
from selfvos.data.benchmarks import youtube_vos
from selfvos.experiments import tables
from selfvos.recipes import RECIPES
from selfvos.settings import override, to_dict
from selfvos.tracking.settings import TrackConfig

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    *(
        path.relative_to(ROOT).as_posix()
        for kind in ("for", "tasks")
        for path in sorted((ROOT / "docs" / kind).glob("*.md"))
    ),
)
NOT_RUN = {
    "make demo": "makes an environment first; what it calls then is run by tests/test_story.py",
    "make test": "is what runs this",
    "selfvos info 0 --frame first.png": "wants a camera; tests/cli/test_live.py sends a stream in place of one",
    "selfvos track 0 --mask mask.png --drawn-on first.png --out watched": "the same",
    "selfvos slurm mask_vos_resnet18 --videos videos/ --out runs/third --nodes 2 --gpus 4 | sbatch": (
        "prints a script; tests/cli/test_slurm.py looks at it"
    ),
    "selfvos data check davis-2016-val --root DAVIS": "finds sequences missing, since the set here is tiny",
    **dict.fromkeys(
        (
            *("selfvos web", "selfvos web dance.mp4", "selfvos web shot.mp4"),
            "selfvos web --host 0.0.0.0 --no-browser --root shots/",
        ),
        "serves until it is stopped; tests/web opens it in a browser",
    ),
    **dict.fromkeys(
        (
            "pip install -e .",
            'pip install -e ".[logs]"',
            'pip install -e ".[web]"',
            'pip install -e ".[web,demo]"',
            'pip install -e ".[ray]"',
            'pip install -e ".[web,bio]"',
        ),
        "would change the environment that runs this; make wheel installs what is published",
    ),
}
"""Commands that cannot be run here, and why."""
WRITTEN_OUT = {
    "...": "--videos videos/ --benchmark davis-2016-val --root DAVIS --out comparison",
    "torchrun --standalone --nproc-per-node 4 --max-restarts 3 --no-python": "",
    "torchrun --nnodes 2 --nproc-per-node 4 --max-restarts 3 --rdzv-backend c10d --rdzv-id third "
    "--rdzv-endpoint node1:29400 --no-python": "",
    "@120": "@1",
}
"""What a page leaves to the reader, what starts the command several times, and frames that a tiny video lacks."""
EARLIER = {"120:": "1:", "180:": "2:"}
"""The same frames in programs."""


BEGIN_WITH_A_TRACK = ("docs/tasks/export.md",)
"""Pages about what is done with a finished track."""


def fenced(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are in one language."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Return the commands of a page in order, each in one line and without its comment."""
    blocks = "".join(fenced(page, "console")).replace("\\\n", " ")
    lines = [re.sub(r"\s#.*", "", line.removeprefix("$ ")) for line in blocks.splitlines() if line.startswith("$ ")]
    return [command.strip() for line in lines for command in line.split(";")]


def words(command: str) -> list[str]:
    """Return a command as the shell would split it, with what the page left out, and the files that a pattern names."""
    command = " ".join(shlex.split(command))
    for short, full in WRITTEN_OUT.items():
        command = command.replace(short, full)
    return [found for word in command.split() for found in (sorted(glob(word)) or [word])]


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def setting(name: str) -> str:
    """Return the full name of one of the tracker's settings, such as ``match.top_k``."""

    def search(settings: dict, above: str) -> Iterator[str]:
        for key, value in settings.items():
            if key == name:
                yield above + key
            elif isinstance(value, dict):
                yield from search(value, f"{above}{key}.")

    return next(search(to_dict(TrackConfig()), ""))


def cut_short(arguments: list[str], backbone: str) -> list[str]:
    """Return what makes a command quick: small frames, few steps, a narrow network."""
    small_frames, own = f"{setting('short_side_px')}={tiny.SIDE}", [f"model.backbone={backbone}", *tiny.SMALL]
    match arguments:
        case ["train", recipe, *_]:
            coarse = RECIPES.get(recipe)().model.stride == 16
            network = ["clips.crop_px=128"] if coarse else ["clips.crop_px=64", "model.mask_path=slim"]
            if recipe.endswith("_wide"):  # its clips have one frame more
                network = ["clips.crop_px=64", "clips.offsets=[0,1,2,3]"]
            added = [*own, *network, *tiny.SHORT]
        case ["adapt", *_]:
            added = ["clips.crop_px=64", *tiny.SMALL, *tiny.SHORT[:2]]
        case ["cluster", *_]:
            added = [f"short_side_px={tiny.SIDE}"]
        case ["compare" | "ablate", *_]:
            extra = ["clips.crop_px=64", "model.mask_path=slim", *own]
            return [*in_turn("--set", extra), "--track", small_frames, "--steps", "2"]
        case ["evaluate", _, "jhmdb-crw", *_]:
            added = []  # the protocol sets the size
        case ["batch", *_]:
            return ["--set", small_frames, "--workers", "0"]
        case ["track" | "matches" | "evaluate", *_]:
            added = [small_frames]
        case _:
            added = []
    given = {text.partition("=")[0] for text in values(arguments, "--set")}
    return in_turn("--set", [text for text in added if text.partition("=")[0] not in given])


def in_turn(option: str, texts: list[str]) -> list[str]:
    return [part for text in texts for part in (option, text)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with everything that the pages name."""
    root = tmp_path_factory.mktemp("inputs")
    tiny.write_video(root / "dance.mp4", map(tiny.picture, range(3)))
    shutil.copy(root / "dance.mp4", root / "shot.mp4")
    pages = [Image.fromarray(tiny.picture(t)).convert("L") for t in range(3)]
    pages[0].save(root / "cells.tif", save_all=True, append_images=pages[1:])
    (root / "shots").mkdir()
    (root / "first").mkdir()
    for name in ("one", "two"):
        shutil.copy(root / "dance.mp4", root / "shots" / f"{name}.mp4")
    for name in (
        "dance.png",
        "dancer.png",
        "car.png",
        "cells.png",
        "shot.png",
        "shot_120.png",
        "first/one.png",
        "first/two.png",
    ):
        tiny.write_mask(root / name, tiny.truth(0))
    (root / "run.yaml").write_text(fenced("docs/tasks/train.md", "yaml")[0])
    (root / "videos.jsonl").write_text(
        "".join(f'{{"video": "shots/{name}.mp4", "mask": "first/{name}.png"}}\n' for name in ("one", "two"))
    )
    for number in range(2):
        tiny.frame_folder(root / "videos" / f"video{number}", 6)
    tiny.davis(root / "DAVIS")
    tiny.youtube_vos(root / "YouTubeVOS")
    tiny.jhmdb(root / "JHMDB")
    tiny.labelled_folder(root / "DIR")
    shutil.copytree(root / "DIR" / "masks", root / "other-masks")
    for results in ("results", "ours", "theirs", "ours/masks", "stm", "osvos"):
        shutil.copytree(root / "DAVIS" / "Annotations" / "480p", root / results, dirs_exist_ok=True)
    return root


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory) -> Path:
    """A track of two objects, and what other programs could have made of it: for pages that begin there."""
    root, model = tmp_path_factory.mktemp("finished"), api.load("lab-patches")
    mask = tiny.truth(0)
    mask[44:60, 30:50] = 2
    shot = api.Shot(video=inputs / "dance.mp4", masks={0: mask})
    config = override(api.track_config(model, None), [f"{setting('short_side_px')}={tiny.SIDE}"])
    assert len(list(api.track_to(model, shot, root / "result", config=config))) == 3
    api.export(root / "result", "cvat-video", root / "annotations.xml")
    api.export(root / "result", "tiff", root / "labels.tif")
    return root


@pytest.fixture
def desk(inputs, tmp_path, monkeypatch, request) -> Path:
    """A copy of the inputs to work in, away from the caches and registries of everybody else."""
    folder = shutil.copytree(inputs, tmp_path / "desk")
    if request.node.callspec.params["page"] in BEGIN_WITH_A_TRACK:
        shutil.copytree(request.getfixturevalue("finished"), folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(youtube_vos.OFFICIAL, 2019, (1, 1))
    monkeypatch.setattr(tables.TABLES, "_things", dict(tables.TABLES._things))
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_run_and_write_what_they_name(page, desk, tiny_resnet, monkeypatch, capsys):
    made: set[str] = set()
    for command in commands(page):
        if command in NOT_RUN:
            continue
        program, *arguments = words(command)
        assert program == "selfvos", f"{page}: nothing tells how to try {command!r}"
        for out in {*values(arguments, "--out")} & made:
            shutil.rmtree(out, ignore_errors=True)  # one command or the other, to the same place
        made |= {*values(arguments, "--out")}
        monkeypatch.setattr(sys, "argv", [program, *arguments, *cut_short(arguments, tiny_resnet)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        assert end.value.code == 0, f"{page}: {command}\n{shown.err}"
        if "--dry-run" not in arguments:
            for out in map(Path, values(arguments, "--out")):
                assert out.exists(), f"{page}: {command} left no {out}"
                assert out.is_file() or any(out.iterdir())


def test_every_command_that_is_not_run_is_still_on_a_page():
    known = {command for page in PAGES for command in commands(page)}
    assert NOT_RUN.keys() <= known
    plain = [" ".join(shlex.split(command)) for command in known]
    assert all(any(short in command for command in plain) for short in WRITTEN_OUT)


def test_commands_in_the_text_exist(monkeypatch, capsys):
    text = "".join((ROOT / page).read_text() for page in PAGES)
    for command in sorted({" ".join(found.split()) for found in re.findall(r"`(selfvos [a-z][^`]*)`", text)}):
        arguments = command.split()[1:]
        help_of = arguments if arguments[0] == "list" else [*re.match(r"(data )?\w+", command[8:])[0].split(), "--help"]
        monkeypatch.setattr(sys, "argv", ["selfvos", *help_of])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        assert end.value.code == 0, f"{command}\n{shown.err}"


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "python")])
def test_programs_of_a_page_run(page, desk, tiny_resnet, monkeypatch):
    """Names that a page takes for granted are given: frames, masks, and a recipe that is done after one step."""
    recipe = override(
        RECIPES.get("mask_vos_resnet18")(),
        [f"model.backbone={tiny_resnet}", "model.mask_path=slim", "clips.crop_px=64", *tiny.SMALL, *tiny.SHORT],
    )
    monkeypatch.setattr("selfvos.recipes.mask_vos_resnet18", lambda: recipe)
    given = {
        "frame": tiny.picture(0),
        "next_frame": tiny.picture(1),
        "mask": tiny.truth(0),
        "better_mask": tiny.truth(1),
        **{name: getattr(tables, name) for name in ("TABLES", "Table", "Variant")},
    }
    for program in fenced(page, "python"):
        for late, early in EARLIER.items():
            program = program.replace(late, early)
        exec(compile(program, page, "exec"), given)
    if "tracker" in given:
        assert given["mask"].shape == (tiny.SIDE, tiny.SIDE)
        assert set(np.unique(given["mask"])) <= {0, 1}
