import ast
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import selfvos
from selfvos import api

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numba", "scipy", "av", "matplotlib", "tensorboard", "sklearn")
HELP = ("", "track", "train", "score", "compare", "ablate", "export", "import")
PUBLIC = {
    "Choice",
    "MaskFile",
    "Project",
    "Report",
    "Shot",
    "Span",
    "StopFlag",
    "TrackConfig",
    "Tracker",
    "VideoPredictor",
    "Watching",
    "build_sam2_video_predictor",
    "demo_clip",
    "demo_mask",
    "evaluate",
    "export",
    "import_track",
    "load",
    "make_tracker",
    "open_benchmark",
    "open_source",
    "open_track",
    "override",
    "read_mask",
    "read_track",
    "recipes",
    "score",
    "track",
    "track_to",
    "train",
}
API = {
    "Choice",
    "LearningPlan",
    "LiveShot",
    "MaskFile",
    "MaskRow",
    "PixelMatches",
    "Project",
    "Shot",
    "Span",
    "VideoPredictor",
    "adapt",
    "adaptation",
    "build_sam2_video_predictor",
    "can_be_video",
    "change_settings",
    "check_dataset",
    "check_export",
    "check_videos",
    "cluster",
    "clustering",
    "convert",
    "demo",
    "demo_clip",
    "demo_mask",
    "discover",
    "draw_overlays",
    "estimate",
    "evaluate",
    "export",
    "export_choices",
    "export_place",
    "export_project",
    "export_size",
    "find_matches",
    "flat_settings",
    "import_project",
    "import_track",
    "is_live",
    "join",
    "learn_from",
    "live_source",
    "load",
    "make_tracker",
    "mask_of_row",
    "mask_rows",
    "open_apart",
    "matches_in_project",
    "names",
    "open_benchmark",
    "open_source",
    "open_track",
    "open_video_cache",
    "outline_in_project",
    "pack_results",
    "pack_videos",
    "pick_device",
    "plan_filling",
    "plan_tracking",
    "protocol_config",
    "push_weights",
    "read_track",
    "recipe",
    "save_frame",
    "score",
    "score_together",
    "tint",
    "track",
    "track_config",
    "track_live",
    "track_project",
    "track_to",
    "track_together",
    "train",
    "use_threads",
    "validate_archive",
    "weights_digest",
    "weights_file",
}
PROGRAM = f"""
    import contextlib, io, json, sys

    def heavy():
        return sorted(set({HEAVY}) & set(sys.modules))

    def help_of(*command):
        sys.argv = ["selfvos", *command, "--help"]
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            try:
                main()
            except SystemExit as end:
                return {{"status": end.code, "text": shown.getvalue(), "heavy": heavy()}}

    import selfvos
    facts = {{"import": heavy(), "version": selfvos.__version__}}
    from selfvos.cli import main
    facts["help"] = {{command: help_of(*command.split()) for command in {HELP}}}
    print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def fresh():
    """What a process finds that has imported nothing yet."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_importing_the_package_loads_nothing_heavy(fresh):
    assert fresh["import"] == []


@pytest.mark.parametrize("command", HELP)
def test_help_is_printed_without_loading_anything_heavy(fresh, command):
    found = fresh["help"][command]
    assert found["status"] in (0, None)
    assert "Usage: selfvos" in found["text"]
    assert found["heavy"] == []


def test_the_package_knows_its_version(fresh):
    assert fresh["version"].count(".") == 2


@pytest.mark.parametrize(("room", "names"), [(selfvos, PUBLIC), (api, API)], ids=["selfvos", "selfvos.api"])
def test_public_names_are_these(room, names):
    """A name that is added or taken away is a promise made or broken: write it down in the change log as well."""
    assert set(room.__all__) == names
    assert len(room.__all__) == len(names)
    assert room.__all__ == sorted(room.__all__)
    for name in names:
        assert getattr(room, name).__doc__, name
    assert names <= set(dir(room))


def programs():
    """Every example, and every Python block of the README and the task pages."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        yield pytest.param(path.read_text(), id=path.name)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs" / "tasks").glob("*.md"))):
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.M | re.S)):
            yield pytest.param(block, id=f"{path.name}-{number}")


@pytest.mark.parametrize("program", list(programs()))
def test_examples_need_nothing_below_the_package(program):
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] != "selfvos", ast.unparse(node)
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith("selfvos.")], ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "selfvos":
            assert node.attr in PUBLIC
