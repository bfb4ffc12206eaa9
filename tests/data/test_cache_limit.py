import os
import subprocess
import sys
import textwrap

import pytest

from selfvos.data import cache_limit
from selfvos.data.cache_limit import evict, lease, touch

pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    monkeypatch.setattr(cache_limit, "_held", [])


def _fill(cache, names="abcd"):
    cache.mkdir(exist_ok=True)
    for age, name in enumerate(names):
        path = cache / f"{name}.pack"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 + age, 1000 + age))


def _left(cache):
    return "".join(sorted(path.stem for path in cache.glob("*.pack")))


def test_the_longest_unused_go_first(tmp_path):
    _fill(tmp_path)
    assert evict(tmp_path, 250, ".pack") == 2
    assert _left(tmp_path) == "cd"


def test_what_is_used_becomes_the_youngest(tmp_path):
    _fill(tmp_path)
    touch(tmp_path / "a.pack")
    evict(tmp_path, 250, ".pack")
    assert _left(tmp_path) == "ad"


def test_what_this_process_claimed_stays_even_above_the_limit(tmp_path, caplog):
    _fill(tmp_path)
    lease(tmp_path, ["a.pack", "b.pack"])
    assert evict(tmp_path, 0, ".pack") == 2
    assert _left(tmp_path) == "ab"
    assert "all of it is in use" in caplog.text


def test_within_the_limit_nothing_is_removed(tmp_path):
    _fill(tmp_path)
    assert evict(tmp_path, 400, ".pack") == 0


PROGRAM = """
    import sys
    from pathlib import Path
    from selfvos.data.cache_limit import lease
    lease(Path(sys.argv[1]), ["a.pack"])
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_what_another_process_claimed_stays_until_it_is_killed(tmp_path):
    _fill(tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b"claimed\n"
        evict(tmp_path, 0, ".pack")
        assert _left(tmp_path) == "a"
    finally:
        other.kill()
        other.wait()
    evict(tmp_path, 0, ".pack")
    assert _left(tmp_path) == ""
    assert not list(tmp_path.glob(".lease-*"))
