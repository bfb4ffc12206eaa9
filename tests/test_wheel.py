"""The wheel holds what is needed at run time, and nothing else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BESIDE_THE_MODULES = {
    "selfvos/py.typed",
    "selfvos/cli/names.json",
    "selfvos/data/assets/README.md",
    "selfvos/data/assets/cockatoo_first_mask.png",
    "selfvos/evaluation/assets/page.html",
    "selfvos/models/assets/default.safetensors",
    "selfvos/models/assets/twin.safetensors",
    "selfvos/napari_plugin/napari.yaml",
    "selfvos/web/static/app.js",
    "selfvos/web/static/icon.svg",
    "selfvos/web/static/index.html",
    "selfvos/web/static/style.css",
}
"""Every file of the package that is not a module: a new one is added here, so that none comes along unseen."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel as it is built from this checkout."""
    pytest.importorskip("hatchling", reason='no hatchling: pip install "selfvos[dev]"')
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def test_it_holds_all_modules_and_the_files_beside_them(wheel):
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == modules | BESIDE_THE_MODULES


def test_the_files_beside_the_modules_are_those_of_the_checkout(wheel):
    changed = [name for name in BESIDE_THE_MODULES if wheel.read(name) != (ROOT / "src" / name).read_bytes()]
    assert changed == []
    assert wheel.getinfo("selfvos/models/assets/default.safetensors").file_size > 1_000_000


def test_it_is_small_and_carries_licence_command_and_no_test(wheel):
    names = wheel.namelist()
    assert sum(wheel.getinfo(name).compress_size for name in names) < 25_000_000
    assert not [name for name in names if re.search(r"(^|/)(tests?|docs|frontend)/|\.(mp4|map|ts)$", name)]
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "selfvos = selfvos.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_its_metadata_say_for_whom_it_is(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    text = wheel.read(f"{info}/METADATA").decode()
    assert "Description-Content-Type: text/markdown" in text
    assert "Requires-Python: <3.14,>=3.11" in text
    extras = set(re.findall(r"^Provides-Extra: (.*)$", text, flags=re.MULTILINE))
    assert {"bio", "demo", "logs", "table", "web"} <= extras
