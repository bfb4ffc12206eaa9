import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the floors of the package in `folder`/src by the contract of this checkout's pyproject.toml."""
    shutil.copy(CHECKOUT / "pyproject.toml", folder / "src")
    return subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder / "src", capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "*.png", "*.safetensors")
    shutil.copytree(CHECKOUT / "src", tmp_path / "src", ignore=ignore)
    return tmp_path


def test_imports_only_go_down(copy):
    result = _lint(copy)
    assert "Floors: imports only go down, never sideways KEPT" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("data/__init__.py", "selfvos.models"),
        ("objectives/base.py", "selfvos.models"),
        ("training/__init__.py", "selfvos.evaluation"),
        ("formats/__init__.py", "selfvos.tracking"),
        ("ops/__init__.py", "selfvos.data"),
        ("storage.py", "selfvos.settings"),
        ("registry.py", "selfvos.types"),
    ],
    ids=lambda value: str(value),
)
def test_an_import_sideways_or_up_is_caught(copy, module, imported):
    path = copy / "src" / "selfvos" / module
    path.write_text(f"{path.read_text()}\nimport {imported}\n")
    result = _lint(copy)
    assert result.returncode == 1
    assert "Floors: imports only go down, never sideways BROKEN" in result.stdout
    assert imported in result.stdout


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "core", "common", "helpers", "misc"}
    assert [path for path in (CHECKOUT / "src").rglob("*") if path.stem in drawers] == []


def test_the_drawn_walks_pass_through_files_that_exist():
    docs = CHECKOUT / "docs"
    texts = [path.read_text() for path in [docs / "architecture.md", *(docs / "figures").glob("*.svg")]]
    named = {name for text in texts for name in re.findall(r"\b[a-z_]+(?:/[a-z_]+)*/[a-z_]+\.py\b", text)}
    named -= {"tests/test_floors.py"}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (CHECKOUT / "src" / "selfvos" / name).is_file()] == []
