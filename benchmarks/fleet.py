"""Hold a batch with a worker killed midway against `selfvos track` of the same clips in one process.

``python -m benchmarks.fleet VIDEOS OUT [--clips 200] [--workers 2]`` cuts short clips from a folder of videos,
tracks them in both ways, and writes ``OUT/fleet.json``. Without ``--kill`` no worker is killed; with
``--workers 1`` and ``--workers 2`` it gives the two runs that the simulation of docs/scale.md is held against.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selfvos.batch.ledger import events
from selfvos.data.mask_png import write_mask
from selfvos.data.source import find_videos, open_source
from selfvos.data.video_writer import VideoWriter
from selfvos.errors import SelfvosError
from selfvos.storage import write_text

_SHORT_SIDE = 240
_FRAMES = 8
_PROGRAM = [sys.executable, "-c", "from selfvos.cli import main; main()"]
_QUALITY = ("--quality", "fast", "--device", "cpu")


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    manifest = cut(arguments.videos, out / "clips", arguments.clips)
    alone = {} if arguments.no_reference else track_alone(manifest, out / "alone")
    fleet = track_in_fleet(manifest, out / "fleet", arguments)
    found = {"clips": arguments.clips, "workers": arguments.workers, "layout": arguments.format, **alone, **fleet}
    if alone:
        found["throughput_of_one_process"] = round(fleet["frames_per_second"] / alone["alone_frames_per_second"], 3)
    write_text(out / "fleet.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def cut(videos: Path, folder: Path, count: int) -> Path:
    """Cut clips from different places of different videos, each with a mask, and return their manifest."""
    manifest = folder / "m.jsonl"
    if manifest.is_file() and len(manifest.read_text().splitlines()) == count:
        return manifest
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows: list[dict[str, str]] = []
    start = 0
    while len(rows) < count:
        before = len(rows)
        for video in find_videos(videos).videos:
            if len(rows) < count and (row := _clip(video, start, folder)):
                rows.append(row)
                print(f"\rcut {len(rows)} of {count} clips", end="", file=sys.stderr, flush=True)
        if len(rows) == before:
            sys.exit(f"{videos} gives {before} clips, {count} were asked for; give more videos or --clips {before}")
        start += _FRAMES
    print(file=sys.stderr)
    write_text(manifest, "".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def _clip(video: Path, start: int, folder: Path) -> dict[str, str] | None:
    try:
        frames = [frame.rgb for frame in open_source(video).frames(start, start + _FRAMES)]
    except SelfvosError:
        return None
    if len(frames) < _FRAMES:
        return None
    name = f"{video.stem}-{start:04d}"
    height, width = frames[0].shape[:2]
    scale = _SHORT_SIDE / min(height, width)
    size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    with VideoWriter(folder / f"{name}.mp4", fps=12.0) as writer:
        for rgb in frames:
            writer.write(np.asarray(Image.fromarray(rgb).resize(size)))
    y, x = np.ogrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    write_mask(folder / f"{name}.png", (4 * (x**2 + y**2) < 1).astype(np.uint8))
    return {"video": f"{name}.mp4", "mask": f"{name}.png"}


def track_alone(manifest: Path, out: Path) -> dict[str, Any]:
    """Track all clips by one `selfvos track`; loading the model is left out of its time, and so is looking ahead."""
    videos = [str(manifest.parent / json.loads(line)["video"]) for line in manifest.read_text().splitlines()]
    command = [*_PROGRAM, "track", *videos, "--mask-dir", str(manifest.parent), "--out", str(out), "--json"]
    done = subprocess.run([*command, "--overwrite", *_QUALITY], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout)["videos"]
    seconds, frames = sum(one["seconds"] for one in found), sum(one["frames"] for one in found)
    return {
        "alone_seconds": round(seconds, 2),
        "alone_frames_per_second": round(frames / seconds, 2),
        "alone_threads": found[0]["threads"],
    }


def track_in_fleet(manifest: Path, out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Track all clips by `selfvos batch`, kill a worker when half of them are done, and look at what is there."""
    shutil.rmtree(out, ignore_errors=True)
    command = [*_PROGRAM, "batch", str(manifest), "--out", str(out), "--workers", str(arguments.workers)]
    command += ["--format", arguments.format, "--json", "--backoff", "1", *_QUALITY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    looker = _Looker(process, out, kill_at=arguments.clips // 2 if arguments.kill else None)
    looker.start()
    text, errors = process.communicate()
    looker.join()
    if process.returncode:
        sys.exit(errors)
    summary = json.loads(text)
    verdict = _verdict(out, manifest)
    return {
        "fleet_seconds": summary["seconds"],
        "frames_per_second": summary["rates"]["frames_per_second"],
        "videos_per_hour": summary["rates"]["videos_per_hour"],
        "stages": summary["stages"],
        "covered": f"{verdict['whole']} of {verdict['total']}",
        "twice": len(verdict["twice"]),
        "killed": looker.killed,
        **_attempts(out),
        **_memory(out),
        "leader_mb": looker.leader_mb[len(looker.leader_mb) // 4 :: max(1, len(looker.leader_mb) // 4)],
    }


def _verdict(out: Path, manifest: Path) -> dict[str, Any]:
    command = [*_PROGRAM, "verify", str(out), "--manifest", str(manifest), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def _attempts(out: Path) -> dict[str, Any]:
    started = [event["key"] for event in events(out) if event["event"] == "started"]
    again = len(started) - len(set(started))
    return {"attempts": len(started), "done_again_percent": round(100 * again / len(set(started)), 2)}


def _memory(out: Path) -> dict[str, Any]:
    """Compare what workers held in the second quarter of the clips with the last; the first one warms up."""
    peaks = [event["peak_mb"] for event in events(out) if event["event"] == "ended" and event.get("peak_mb")]
    quarter = len(peaks) // 4
    early, late = statistics.median(peaks[quarter : 2 * quarter]), statistics.median(peaks[-quarter:])
    return {"worker_mb_second_quarter": early, "worker_mb_last_quarter": late}


class _Looker(threading.Thread):
    """Looks at a batch from outside: what its leader holds, and when to kill a worker."""

    def __init__(self, process: subprocess.Popen[str], out: Path, *, kill_at: int | None) -> None:
        super().__init__(daemon=True)
        self._process, self._out, self._kill_at = process, out, kill_at
        self.killed: int | None = None
        self.leader_mb: list[float] = []

    def run(self) -> None:
        while self._process.poll() is None:
            time.sleep(0.5)
            self.leader_mb.append(_resident_mb(self._process.pid))
            done = sum(event["event"] == "ended" for event in events(self._out))
            if self._kill_at is not None and self.killed is None and done >= self._kill_at:
                workers = workers_below(self._process.pid)
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    self.killed = done


def workers_below(leader: int) -> list[int]:
    """Return the workers below a process, on Ray or not, those that compute first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            ours = leader in _ancestors(int(folder.name))
        except (OSError, ValueError):
            continue
        if ours and (b"ray::Worker" in command or b"spawn_main" in command):
            found.append((b".do" not in command, int(folder.name)))
    return [process for _, process in sorted(found)]


def _ancestors(process: int) -> list[int]:
    chain = []
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        chain.append(process)
    return chain


def _resident_mb(process: int) -> float:
    try:
        return round(int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    except (OSError, IndexError):
        return 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--format", default="folders", choices=("folders", "parquet"))
    parser.add_argument("--kill", action="store_true", help="kill a worker when half of the clips are done")
    parser.add_argument("--no-reference", action="store_true", help="leave out tracking in one process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
