"""The process that files of strangers are decoded below: it forks a confined reader for each of them.

It loads what decoding takes once, reads no file itself, and so starts readers in milliseconds. Orders come through its
standard input, a socket: two ends of pipes with limits begin a reader, whose number is the answer; a number ends one.
"""

import gc
import json
import logging
import math
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from selfvos.data.sound import copied_sound
from selfvos.data.source import Source, open_source
from selfvos.errors import DataError, SelfvosError
from selfvos.types import Frame

LONGEST_ORDER = 2**16
_FILES = 64
_WARNINGS = 8


def serve(control: socket.socket) -> None:
    """Start and end readers until the other end is closed."""
    readers: set[int] = set()
    gc.freeze()  # so that readers share what is loaded, and do not copy it to look through it
    while True:
        message, ends, _, _ = socket.recv_fds(control, LONGEST_ORDER, 2)
        if not message:
            break
        order = json.loads(message)
        if "end" in order:
            _end(readers, order["end"])
            control.sendall(b"\n")
            continue
        reader = os.fork()
        if not reader:
            control.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the socket that orders come through is not for readers
            _be_reader(*ends, **order)
        for end in ends:
            os.close(end)
        readers.add(reader)
        control.sendall(f"{reader}\n".encode())
    for reader in list(readers):
        _end(readers, reader)


def _end(readers: set[int], reader: int) -> None:
    if reader in readers:  # no number of another process is ever sent a signal
        readers.discard(reader)
        with suppress(ProcessLookupError):
            os.kill(reader, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(reader, 0)


def _be_reader(requests: int, replies: int, memory_bytes: int, cpu_seconds: int) -> None:
    """Answer until the other end is closed, then end this process, whatever happens."""
    try:
        confine(memory_bytes)
        with open(requests, "rb") as asked, open(replies, "wb", buffering=0) as told:
            Reader(told, cpu_seconds).answer_all(asked)
    finally:
        os._exit(0)


def confine(memory_bytes: int) -> None:
    """Take away from this process, for good, to write files and to use more memory than that beside what it has."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    taken = Path("/proc/self/statm")
    if taken.exists():
        most = int(taken.read_text().split()[0]) * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Reader:
    """Answers one order after the other about one source; each answer is a line, and bytes where the line says so."""

    def __init__(self, replies: IO[bytes], cpu_seconds: int) -> None:
        """Answer into a pipe, and take no longer for an answer than that; 0: as long as it takes."""
        self._replies, self._cpu_seconds = replies, cpu_seconds
        self._warnings = _Warnings()
        logging.getLogger("selfvos").addHandler(self._warnings)
        self._source: Source | None = None
        self._frames: Iterator[Frame] = iter(())
        self._ready: Frame | Exception | None = None

    def answer_all(self, requests: IO[bytes]) -> None:
        """Answer until there are no more orders."""
        for line in requests:
            if self._cpu_seconds:
                most = math.ceil(time.process_time()) + self._cpu_seconds
                resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            self._answer(json.loads(line))

    def _answer(self, order: dict[str, Any]) -> None:
        orders = {"open": self._open, "count": self._count, "frames": self._begin, "next": self._next}
        orders |= {"leave": self._leave, "sound": self._sound}
        try:
            found = orders[order.pop("do")](**order)
        except SelfvosError as error:
            found = {"error": type(error).__name__, "message": str(error)}, None
        except (MemoryError, RuntimeError) as error:
            found = {"error": "MemoryError", "message": str(error)}, None
        except Exception as error:
            found = {"error": "DataError", "message": f"cannot be decoded ({type(error).__name__}: {error})"}, None
        if found is None:
            return
        head, pixels = found
        _write(self._replies, json.dumps({**head, "warnings": self._warnings.taken()}).encode() + b"\n")
        if pixels is not None:
            _write(self._replies, pixels)
        if "frame" in head:
            self._ready = self._fetch()  # while the other side works on this one

    def _open(self, path: str, start: str, fps: float) -> tuple[dict[str, Any], None]:
        os.chdir(start)  # where a path that is relative begins
        source = self._source = open_source(Path(path), fps=fps)
        if source.size is None:
            raise DataError(f"{path} does not say how large its frames are")
        names = ("name", "size", "fps", "count")
        facts = {name: getattr(source, name) for name in names} | {"sound": source.sound is not None}
        return {**facts, "pixel_aspect": str(source.pixel_aspect)}, None

    def _count(self) -> tuple[dict[str, Any], None]:
        assert self._source is not None
        return {"count": self._source.exact_count()}, None

    def _begin(self, start: int | None, stop: int | None, step: int) -> tuple[dict[str, Any], None]:
        assert self._source is not None
        self._ready = None
        self._frames = self._source.frames(start, stop, step)
        return {}, None

    def _next(self) -> tuple[dict[str, Any], memoryview | None]:
        found, self._ready = self._ready or self._fetch(), None
        if isinstance(found, StopIteration):
            assert self._source is not None
            return {"end": True, "partial": self._source.partial}, None
        if isinstance(found, Exception):
            raise found
        height, width = found.rgb.shape[:2]
        head = {"height": height, "width": width, "index": found.index, "name": found.name, "seconds": found.seconds}
        return {"frame": head}, found.rgb.data.cast("B")

    def _fetch(self) -> Frame | Exception:
        try:
            return next(self._frames)
        except Exception as error:
            return error

    def _leave(self) -> None:
        self._ready, self._frames = None, iter(())

    def _sound(self) -> tuple[dict[str, Any], memoryview]:
        assert self._source is not None
        sound = copied_sound(self._source.sound) if self._source.sound else b""
        return {"bytes": len(sound)}, memoryview(sound)


class _Warnings(logging.Handler):
    """Keeps what is logged for the next answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._kept) < _WARNINGS:
            self._kept.append(record.getMessage())

    def taken(self) -> list[str]:
        kept, self._kept = self._kept, []
        return kept


def _write(pipe: IO[bytes], content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[pipe.write(rest) :]


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
