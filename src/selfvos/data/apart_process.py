"""Readers of strangers' files as this process sees them: each a process of its own, started, asked and ended."""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfvos.errors import ResourceError, UsageError

_LONGEST_HEAD = 2**16
_PIPE_BYTES = 2**20
_PATIENCE_S = 5.0
_COMMAND = [sys.executable, "-P", "-m", "selfvos.data.apart_server"]
_KEPT = ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Arenas of threads would take of the addresses that a reader may use, and leave them empty."""

AVAILABLE = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether this system can do it; Windows cannot."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What decoding one video may take."""

    memory_bytes: int = 896 * 2**20
    """Memory beyond what the programs themselves take, at least 1 MiB; the default does for 8K in HEVC."""
    cpu_seconds: int = 600
    """Time of the processor until an answer comes: the next frame, or how many there are; at least 1 s."""
    frames: int = 10**9
    """Frames, at least 1."""

    def __post_init__(self) -> None:
        if self.memory_bytes < 2**20 or self.cpu_seconds < 1 or self.frames < 1:
            raise UsageError(f"limits must be at least 1 MiB, 1 s and 1 frame, got {self}")


class Gone(Exception):  # noqa: N818 - it says what happened
    """A reader has ended, or says what no reader says."""


class ReaderProcess:
    """A confined process that answers about one file; it ends when nobody holds it any more."""

    def __init__(self, limits: Limits) -> None:
        """Start it.

        Raises:
            ResourceError: This machine cannot.
        """
        asked, self._requests = os.pipe()
        replies, told = os.pipe()
        try:
            order = {"memory_bytes": limits.memory_bytes, "cpu_seconds": limits.cpu_seconds}
            number, nursery = _nursery.order(order, asked, told)
        except ResourceError:
            os.close(self._requests)
            os.close(replies)
            raise
        finally:
            os.close(asked)
            os.close(told)
        _widen(replies)
        self._replies = open(replies, "rb")  # noqa: SIM115 - closed with this
        self.end: Callable[[], object] = weakref.finalize(self, _end, nursery, number, self._requests, self._replies)
        """End it at once, whatever it does."""

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Give an order and return the line that answers it.

        Raises:
            Gone: No answer comes.
        """
        self.tell(do, **order)
        line = self._replies.readline(_LONGEST_HEAD)
        try:
            head = json.loads(line)
        except ValueError as error:
            raise Gone from error
        if not isinstance(head, dict):
            raise Gone
        return head

    def tell(self, do: str, **order: Any) -> None:
        """Give an order that nobody answers.

        Raises:
            Gone: It has ended.
        """
        try:
            os.write(self._requests, json.dumps({"do": do, **order}).encode() + b"\n")
        except OSError as error:
            raise Gone from error

    def bytes(self, count: int) -> UInt8[np.ndarray, " n"]:
        """Return so many bytes after a line.

        Raises:
            Gone: Fewer come.
        """
        content = np.empty(count, np.uint8)
        rest = content.data
        while rest:
            came = self._replies.readinto(rest)  # pyright: ignore[reportAttributeAccessIssue]
            if not came:
                raise Gone
            rest = rest[came:]
        return content


class _Nursery:
    """The process that readers are forked from; started when it is first needed, and again should it end."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have no process; what another one was started for goes on."""
        self._lock = threading.Lock()
        self._leaving: deque[tuple[socket.socket, int]] = deque()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def order(self, order: dict[str, int], *ends: int) -> tuple[int, socket.socket]:
        """Start a reader; return its number, and what to end it through.

        Raises:
            ResourceError: No process can be started.
        """
        with self._lock:
            for _ in range(2):
                control = self._socket or self._start()
                try:
                    self._end_leaving()
                    return int(_answered(control, order, *ends)), control
                except (OSError, ValueError):  # it was ended, by whatever
                    self.stop()
        raise ResourceError("no process to decode videos in can be started; see that there is memory left")

    def end(self, control: socket.socket, number: int) -> None:
        """End a reader; at the next chance, where an order is under way: this may be called in the midst of one."""
        self._leaving.append((control, number))
        if self._lock.acquire(blocking=False):
            try:
                with suppress(OSError, ValueError):
                    self._end_leaving()
            finally:
                self._lock.release()

    def _end_leaving(self) -> None:
        while self._leaving:
            control, number = self._leaving.popleft()
            if control is self._socket:  # else it was forked from a process that is gone, and sees its pipes closed
                _answered(control, {"end": number})

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # as a worker of a fleet has it
        with theirs:
            try:
                self._process = subprocess.Popen(
                    _COMMAND,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment | _THREADS,
                    start_new_session=True,  # Ctrl-C is for this process, which then ends its readers
                )
            except OSError as error:
                ours.close()
                raise ResourceError(f"no process to decode videos in can be started: {error}") from error
        self._socket = ours
        return ours

    def stop(self) -> None:
        """End all readers, and the process that they are forked from."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            try:
                self._process.wait(_PATIENCE_S)  # it ends its readers first
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket = self._process = None


def _answered(control: socket.socket, order: dict[str, int], *ends: int) -> bytes:
    """Send an order and return the line that comes back; one is under way at a time."""
    if ends:
        socket.send_fds(control, [json.dumps(order).encode()], ends)
    else:
        control.sendall(json.dumps(order).encode())
    answer = b""
    while not answer.endswith(b"\n"):
        came = control.recv(64)
        if not came:
            raise ConnectionResetError
        answer += came
    return answer


def _end(nursery: socket.socket, number: int, requests: int, replies: Any) -> None:
    os.close(requests)
    replies.close()
    _nursery.end(nursery, number)


def _widen(pipe: int) -> None:
    with suppress(ImportError, AttributeError, OSError):  # where a pipe cannot be widened, it is slower
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


_nursery = _Nursery()
atexit.register(_nursery.stop)
if AVAILABLE:
    os.register_at_fork(after_in_child=_nursery.forget)
