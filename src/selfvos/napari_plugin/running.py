"""Tracking in a thread, for a window that must not wait; knows nothing of napari or Qt."""

import queue
import threading

import numpy as np

from selfvos.errors import Stopped
from selfvos.napari_plugin.layers import Request, follow
from selfvos.types import Watching

_AHEAD = 8
_WAIT_S = 0.1


class Running:
    """One request that is being tracked: ask for what there is, now and then, until it is over."""

    def __init__(self, request: Request) -> None:
        """Begin."""
        self.error: BaseException | None = None
        """What ended it before its time."""
        self._found: queue.Queue[tuple[int, np.ndarray]] = queue.Queue(_AHEAD)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(request,), name="selfvos-napari", daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._left.is_set()

    def stop(self) -> None:
        """Ask it to end after the frame at hand."""
        self._left.set()

    def over(self) -> bool:
        """Say whether it has ended and everything was taken."""
        return not self._thread.is_alive() and self._found.empty()

    def take(self) -> list[tuple[int, np.ndarray]]:
        """Return index and labels of the frames that have come since the last time."""
        found = []
        while not self._found.empty():
            found.append(self._found.get())
        return found

    def _run(self, request: Request) -> None:
        try:
            for one in follow(request, Watching(asked=self._left.is_set)):
                self._hand_over(one)
        except Stopped:
            pass
        except BaseException as error:
            self.error = error

    def _hand_over(self, one: tuple[int, np.ndarray]) -> None:
        while not self._left.is_set():
            try:
                self._found.put(one, timeout=_WAIT_S)
                return
            except queue.Full:
                continue
