"""Real worker processes: killed in the middle, and what comes of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfvos.batch.job import Plan
from selfvos.batch.lead import Policy, lead
from selfvos.batch.pool import Pool
from selfvos.batch.processes import Processes
from selfvos.batch.verify import verify
from selfvos.errors import MissingExtra
from selfvos.types import Watching

POLICY = Policy(retries=2, backoff_s=0.1)


@pytest.fixture
def plan(tmp_path) -> Plan:
    small = ("short_side_px=64",)
    return Plan(out=str(tmp_path / "out"), layout="folders", weights="lab-patches", device="cpu", settings=small)


def _workers(words: str) -> list[int]:
    """Return the processes below this one whose command line holds some words."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents = _ancestors(int(folder.name))
        except (OSError, ValueError):
            continue
        if words in command and os.getpid() in parents:
            found.append(int(folder.name))
    return found


def _ancestors(process: int) -> list[int]:
    chain = []
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        chain.append(process)
    return chain


def _kill_one_when(words: str, out: Path):
    """Return a watch that kills one worker as soon as a first video is finished."""
    killed = []

    def told(*_, **__):
        workers = _workers(words)
        if not killed and workers and (out / "tracks").is_dir() and any((out / "tracks").iterdir()):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    return Watching(told), killed


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds workers in /proc")
def test_a_process_killed_in_the_middle_costs_its_video_one_attempt(plan, clips):
    watch, killed = _kill_one_when("multiprocessing.spawn", Path(plan.out))
    summary = lead(clips / "m.jsonl", plan, lambda: Pool(Processes(plan), 1), policy=POLICY, watch=watch)
    assert killed
    assert (summary.done, summary.quarantined) == (4, 0)
    assert summary.states.get("lost", 0) <= 1
    assert verify(plan.out, clips / "m.jsonl").whole == 4


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds workers in /proc")
def test_an_actor_killed_in_the_middle_costs_its_video_one_attempt(plan, clips):
    ray = pytest.importorskip("ray")
    from selfvos.batch.actors import Actors

    actors = Actors(plan, workers=1)
    one = actors.start()
    arenas = ray.get(one.handle.__ray_call__.remote(lambda _: os.environ.get("MALLOC_ARENA_MAX")), timeout=60)
    assert arenas == "2", "glibc reads it where a process begins; without it a worker grows from video to video"
    actors.end(one)

    watch, killed = _kill_one_when("ray::Worker", Path(plan.out))
    summary = lead(*(clips / "m.jsonl", plan, lambda: Pool(actors, 1)), policy=POLICY, watch=watch)
    assert killed
    assert (summary.done, summary.quarantined) == (4, 0)
    assert summary.states.get("lost", 0) <= 1
    assert verify(plan.out, clips / "m.jsonl").whole == 4


def test_without_ray_one_line_says_what_to_install(plan, monkeypatch):
    from selfvos.batch.actors import Actors

    monkeypatch.setattr("selfvos.batch.extras.importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r'needs ray; run: pip install "selfvos\[ray\]"'):
        Actors(plan, workers=1)


def test_the_command_goes_on_after_its_leader_was_killed(clips, tmp_path):
    """The whole of it is killed with SIGKILL, then run again; `verify` answers with its exit status."""
    out = tmp_path / "out"
    program = [sys.executable, "-c", "from selfvos.cli import main; main()"]
    options = ["--workers", "0", "--weights", "lab-patches", "--format", "folders", "--set", "short_side_px=64"]
    command = [*program, "batch", str(clips / "m.jsonl"), "--out", str(out), "--json", *options]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list(out.glob("tracks/*/done")) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    held = [*program, "verify", str(out), "--manifest", str(clips / "m.jsonl"), "--json"]
    before = subprocess.run(held, capture_output=True, text=True, timeout=120, check=False)
    assert before.returncode == (3 if json.loads(before.stdout)["missing"] else 0)
    again = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert summary["done"] == 4
    assert summary["attempts"] <= 4 - json.loads(before.stdout)["whole"]
    after = subprocess.run(held, capture_output=True, text=True, timeout=120, check=False)
    assert after.returncode == 0, after.stdout
    assert json.loads(after.stdout)["whole"] == 4
