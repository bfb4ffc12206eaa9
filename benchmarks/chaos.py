"""Kill the workers of a large batch again and again, and its leader too, and see that nothing is lost or done twice.

``python -m benchmarks.chaos OUT [--videos 10000] [--every 30] [--workers 2]`` makes tiny videos, one in a hundred of
them bad, tracks them by `selfvos batch`, kills a worker every few seconds and the leader once, runs the same command
again, and writes ``OUT/chaos.json``. The exit status is 0 where each good video is there once and each bad one is
listed with its reason.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleet import workers_below
from selfvos.batch.ledger import events
from selfvos.data.mask_png import write_mask
from selfvos.data.video_writer import VideoWriter
from selfvos.storage import write_text

_PROGRAM = [sys.executable, "-c", "from selfvos.cli import main; main()"]
_SIDES = (16, 24, 32)
_FRAMES = 3
_BAD_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is done to a batch."""

    every_s: float
    """Seconds between two kills of a worker, at least 1."""
    leader_at: float
    """Share of the videos after which the leader is killed, once; above 1 never."""
    most: int = 10**6
    """Workers that are killed in all."""
    seed: int = 0


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    shutil.rmtree(out / "fleet", ignore_errors=True)
    good, bad = make(out / "videos", arguments.videos)
    found = run(
        out,
        good | bad,
        arguments.workers,
        Trouble(every_s=arguments.every, leader_at=arguments.leader_at, seed=arguments.seed),
    )
    found |= verdict(out, good, bad)
    write_text(out / "chaos.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["passed"] else 1)


def make(folder: Path, count: int) -> tuple[set[str], set[str]]:
    """Make a manifest of so many tiny videos; return the names of the good ones and of the bad ones.

    Few are written and the rest are links to them: what matters here is how many rows there are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    good = [_good(folder / f"kind{side}.mp4", side) for side in _SIDES]
    bad = _bad(folder, good[0])
    names: tuple[set[str], set[str]] = (set(), set())
    order = np.random.default_rng(0).permutation(count) < max(1, round(count * _BAD_SHARE))
    with (folder / "m.jsonl").open("w", encoding="utf-8") as manifest:
        for number, is_bad in enumerate(order):
            kinds = bad if is_bad else good
            kind = kinds[number % len(kinds)]
            name = f"v{number:05d}"
            video = folder / "videos" / f"{number % 100:02d}" / f"{name}{kind.suffix}"
            if kind.exists():
                video.parent.mkdir(parents=True, exist_ok=True)
                os.link(kind, video)
            mask = folder / f"{good[number % len(good)].stem}.png"
            manifest.write(json.dumps({"name": name, "video": str(video), "mask": str(mask)}) + "\n")
            names[bool(is_bad)].add(name)
    return names


def _good(path: Path, side: int) -> Path:
    rng = np.random.default_rng(side)
    frame = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
    with VideoWriter(path, fps=12.0) as writer:
        for t in range(_FRAMES):
            writer.write(np.roll(frame, t, axis=1))
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 1
    write_mask(path.with_suffix(".png"), mask)
    return path


def _bad(folder: Path, good: Path) -> list[Path]:
    content = good.read_bytes()
    kinds = {
        "empty.mp4": b"",
        "junk.mp4": bytes(range(256)) * 8,
        "half.mp4": content[: len(content) // 2],
        "playlist.mp4": f"ffconcat version 1.0\nfile {good}\n".encode(),
        "bomb.gif": b"GIF89a" + bytes([0xFF] * 4) + b"\0\0\0," + bytes(4) + bytes([0xFF] * 4) + b"\0\2\0;",
    }
    for name, data in kinds.items():
        (folder / name).write_bytes(data)
    return [*(folder / name for name in kinds), folder / "missing.mp4"]


def run(out: Path, names: set[str], workers: int, trouble: Trouble) -> dict[str, Any]:
    """Run the batch to its end, under fire; the same command again where its leader was killed."""
    command = [*_PROGRAM, "batch", str(out / "videos" / "m.jsonl"), "--out", str(out / "fleet"), "--json"]
    command += ["--workers", str(workers), "--weights", "lab-patches", "--device", "cpu", "--backoff", "1"]
    command += ["--set", "short_side_px=32"]
    begin, killed, starts = time.monotonic(), Counter[str](), 0
    while True:
        starts += 1
        leader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        gunner = threading.Thread(target=_fire, args=(leader, out / "fleet", len(names), trouble, killed))
        gunner.start()
        _, errors = leader.communicate()
        gunner.join()
        if leader.returncode == 0:
            break
        if leader.returncode != -signal.SIGKILL or starts > 2:
            sys.exit(f"the batch ended with {leader.returncode}: {errors[-2000:]}")
    seconds = time.monotonic() - begin
    return {"videos": len(names), "workers": workers, "seconds": round(seconds, 1), "starts": starts, **killed}


def _fire(leader: "subprocess.Popen[str]", fleet: Path, total: int, trouble: Trouble, killed: Counter[str]) -> None:
    """Kill a worker every few seconds of work, and the leader once."""
    dice, due = random.Random(trouble.seed), time.monotonic() + trouble.every_s
    log = _Log(fleet / "log.jsonl")
    before = log.ended()
    while leader.poll() is None:
        time.sleep(0.25)
        if not killed["leaders_killed"] and log.ended() > trouble.leader_at * total:
            leader.kill()
            killed["leaders_killed"] += 1
            for worker in workers_below(leader.pid):  # nobody is left to lead them
                _kill(worker)
            return
        if log.ended() <= before:  # loading takes its time: where workers are killed before they have, none ever do
            due = time.monotonic() + trouble.every_s
        elif time.monotonic() >= due and killed["workers_killed"] < trouble.most:
            workers = workers_below(leader.pid)
            if workers and log.ended() < total:
                before, due = log.ended() + 1, time.monotonic() + trouble.every_s  # the one more is that which is lost
                _kill(dice.choice(workers))
                killed["workers_killed"] += 1
                print(f"{log.ended()} of {total} ended, {killed['workers_killed']} kills", file=sys.stderr, flush=True)


class _Log:
    """How many attempts have ended, told from the log without reading any of it twice."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._count = path, 0, 0

    def ended(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._at += len(new)
            self._count += new.count(b'"event": "ended"')
        return self._count


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def verdict(out: Path, good: set[str], bad: set[str]) -> dict[str, Any]:
    """Say what became of each video, and whether that is what had to."""
    fleet = out / "fleet"
    command = [*_PROGRAM, "verify", str(fleet), "--manifest", str(out / "videos" / "m.jsonl"), "--json"]
    held = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    happened = events(fleet)
    done = _names(happened, lambda event: event["event"] == "ended" and event.get("state") == "done")
    given_up = set(_names(happened, lambda event: event["event"] == "quarantined"))
    started = Counter(_names(happened, lambda event: event["event"] == "started"))
    again = started.total() - len(started)
    found = {
        "good": len(good),
        "bad": len(bad),
        "whole": held["whole"],
        "there_twice": len(held["twice"]),
        "missing": len(held["missing"]),
        "tracked_twice": sum(count > 1 for count in Counter(done).values()),
        "bad_listed": len(given_up & bad),
        "good_given_up": len(given_up & good),
        "attempts": started.total(),
        "done_again_percent": round(100 * again / len(started), 2),
    }
    found["passed"] = (
        held["whole"] == len(good)
        and given_up == bad
        and not (held["twice"] or held["missing"] or held["partial"] or held["damaged"])
        and set(started) == good | bad
    )
    return found


def _names(happened: list[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> list[str]:
    return [event["name"] for event in happened if wanted(event)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2, help="workers on Ray; 0 is one process without it")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two kills of a worker")
    parser.add_argument("--leader-at", type=float, default=0.5, help="share of videos after which the leader is killed")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
