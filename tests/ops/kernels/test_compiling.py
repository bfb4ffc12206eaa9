import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import no_type_check

import pytest

import selfvos
from selfvos.ops.kernels import compiling

PROGRAM = """
import numpy as np
from selfvos.ops.kernels.aligned_readout import _choose
from selfvos.ops.kernels.patches import inside_window
pictures = np.zeros((1, 4, 4, 3), np.uint8)
pictures[0, :, 2] = 9
shifts = np.zeros((1, 1, 2), np.int8)
none, one = np.full(1, -1), np.ones((1, 1), np.float32)
how = 4, 1, np.float32(0.5), inside_window(6, 8)
_choose(np.roll(pictures, 1, 2), pictures, none, np.zeros((1, 1), np.int64), one, *how, (0, 1), shifts)
print(shifts.ravel().tolist(), sum(_choose.stats.cache_hits.values()))
"""


@no_type_check
def double(x):
    return 2 * x


def shifts_of(package):
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_function_takes_notice_of_what_it_takes_in_from_other_files(tmp_path):
    """As after an update: the file that was changed is not that of the function that is called."""
    package = tmp_path / "selfvos"
    shutil.copytree(
        Path(selfvos.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
    )
    assert shifts_of(package) == "[0, -1] 0"
    assert shifts_of(package) == "[0, -1] 1"
    patches = package / "ops" / "kernels" / "patches.py"
    text = patches.read_text()
    patches.write_text(text.replace("total += apart * apart", "total -= apart * apart"))
    assert patches.read_text() != text
    assert shifts_of(package) not in ("[0, -1] 0", "[0, -1] 1")


def test_only_the_latest_states_are_kept(tmp_path, monkeypatch):
    others = [tmp_path / f"kernels-{number}" for number in range(7)]
    for age, other in enumerate(others):
        other.mkdir()
        os.utime(other, (1e9 - age, 1e9 - age))
    (tmp_path / "of_others").mkdir()
    monkeypatch.setattr(compiling._SETTINGS, "CACHE_DIR", str(tmp_path))
    folder = Path(compiling._folder.__wrapped__())
    assert folder.parent == tmp_path
    assert set(tmp_path.iterdir()) == {folder, *others[:3], tmp_path / "of_others"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    monkeypatch.setattr(compiling._SETTINGS, "CACHE_DIR", str(closed))
    assert not compiling._folder.__wrapped__().startswith(str(closed))


def test_numba_keeps_its_own_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling._SETTINGS, "CACHE_DIR", str(tmp_path))
    assert compiling.compiled(double)(21) == 42
    assert str(tmp_path) == compiling._SETTINGS.CACHE_DIR


def test_kernels_compile_where_nothing_can_be_kept_on_disk(monkeypatch):
    real = compiling.njit

    def no_folder(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(compiling, "njit", no_folder)
    assert compiling.compiled(double)(21) == 42


def test_code_without_a_file_is_compiled_without_a_cache():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)
    assert compiling.compiled(scope["double"])(21) == 42
