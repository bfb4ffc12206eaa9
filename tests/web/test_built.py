"""The page that ships is the page of the sources."""

import gzip
import importlib.resources
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "frontend"
SHIPPED = Path(str(importlib.resources.files("selfvos.web") / "static"))


def test_the_built_files_are_those_of_the_sources(tmp_path):
    if not (SOURCES / "node_modules" / "esbuild").is_dir() or shutil.which("node") is None:
        pytest.skip("no esbuild: npm ci --prefix frontend")
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=SOURCES, check=True, capture_output=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shipped = {path.name: path.read_bytes() for path in SHIPPED.iterdir()}
    assert sorted(built) == sorted(shipped)
    changed = [name for name in built if built[name] != shipped[name]]
    assert changed == [], f"run 'make page': {changed} in src/selfvos/web/static are not those of frontend/src"


def test_the_page_is_small_and_needs_nothing_from_elsewhere():
    total = sum(len(gzip.compress(path.read_bytes())) for path in SHIPPED.iterdir())
    assert total < 150_000
    for path in SHIPPED.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search("https?://", text), path.name
