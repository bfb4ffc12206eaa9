"""Videos of strangers, decoded by a process of their own that may not take more than it is given.

What reads a hostile file, and may be made to do anything by it, is a process without a way to write a file, with
little memory and little time. It hands over pixels and plain text alone.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np

from selfvos import errors
from selfvos.data.files import named
from selfvos.data.pictures import MOST_PIXELS
from selfvos.data.source import open_source
from selfvos.errors import BrokenVideo, SelfvosError, UsageError
from selfvos.types import Frame

_LONGEST_HEAD = 2**16
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
_EVERYTHING = 10**9


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What decoding one video may take."""

    memory_bytes: int = 768 * 2**20
    """Memory beyond what the programs themselves take, at least 1 MiB."""
    cpu_seconds: int = 600
    """Time of the processor, at least 1 s."""
    frames: int = _EVERYTHING
    """Frames, at least 1."""

    def __post_init__(self) -> None:
        if self.memory_bytes < 2**20 or self.cpu_seconds < 1 or self.frames < 1:
            raise UsageError(f"limits must be at least 1 MiB, 1 s and 1 frame, got {self}")


def frames_apart(path: Path | str, limits: Limits | None = None) -> Iterator[Frame]:
    """Yield the frames of a video that is not trusted.

    Args:
        path: A video file or a folder of pictures.
        limits: What decoding may take.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read, or not within the limits; what was yielded before is good.
    """
    limits = limits or Limits()
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "selfvos.data.apart", os.fspath(path), json.dumps(asdict(limits))]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment | threads
    ) as worker:
        assert worker.stdout is not None
        try:
            yield from _received(worker.stdout, named(path), limits)
        finally:
            worker.kill()


def _received(pipe: IO[bytes], name: str, limits: Limits) -> Iterator[Frame]:
    too_much = BrokenVideo(
        f"{name} cannot be decoded within {limits.memory_bytes >> 20} MiB and {limits.cpu_seconds} s; "
        "convert it to a smaller one"
    )
    for count in range(limits.frames + 1):
        try:
            head = json.loads(pipe.readline(_LONGEST_HEAD))
        except ValueError as error:
            raise too_much from error
        if "error" in head:
            raise _told(head["error"], str(head["message"])) if head["error"] != "MemoryError" else too_much
        if head.get("done"):
            return
        if count == limits.frames:
            break
        yield _frame(pipe, head, too_much)
    raise BrokenVideo(f"{name} has more than {limits.frames} frames; cut it")


def _frame(pipe: IO[bytes], head: dict[str, str | int | float], too_much: BrokenVideo) -> Frame:
    height, width = int(head["height"]), int(head["width"])
    if not 0 < height * width <= MOST_PIXELS:
        raise too_much
    pixels = pipe.read(height * width * 3)
    if len(pixels) != height * width * 3:
        raise too_much
    rgb = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    return Frame(rgb=rgb, index=int(head["index"]), name=str(head["name"]), seconds=float(head["seconds"]))


def _told(kind: str, message: str) -> SelfvosError:
    found = getattr(errors, kind, None)
    return found(message) if isinstance(found, type) and issubclass(found, SelfvosError) else BrokenVideo(message)


def _confine(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    taken = Path("/proc/self/statm")
    if taken.exists():
        most = int(taken.read_text().split()[0]) * resource.getpagesize() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _send(path: str, pipe: IO[bytes]) -> None:
    for frame in open_source(Path(path)):
        height, width = frame.rgb.shape[:2]
        head = {"height": height, "width": width, "index": frame.index, "name": frame.name, "seconds": frame.seconds}
        pipe.write(json.dumps(head).encode() + b"\n" + frame.rgb.tobytes())


def _main(path: str, limits: Limits) -> None:
    pipe = sys.stdout.buffer
    _confine(limits)
    try:
        _send(path, pipe)
        last = {"done": True}
    except SelfvosError as error:
        last = {"error": type(error).__name__, "message": str(error)}
    except (MemoryError, RuntimeError) as error:
        last = {"error": "MemoryError", "message": str(error)}
    pipe.write(json.dumps(last).encode() + b"\n")
    pipe.flush()


if __name__ == "__main__":
    _main(sys.argv[1], Limits(**json.loads(sys.argv[2])))
