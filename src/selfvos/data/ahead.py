"""Make the next items while the current one is being worked on."""

import atexit
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE_SECONDS = 1.0
"""How long the end of an iteration waits for its thread, which may hang in a decoder."""


def ahead(items: Iterable[T], count: int = 2) -> Iterator[T]:
    """Yield the items in order, made by a thread that is never more than `count` items ahead of the latest one.

    It begins when the first item is asked for. What making one raises is raised where the item would have come. When
    the iteration is left early the thread ends with the item that it is at.
    """
    maker = _Maker(items, count)
    maker.start()
    _running.add(maker)
    try:
        while True:
            item, error = maker.made.get()
            maker.room.release()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        maker.leave()


class _Maker(threading.Thread):
    def __init__(self, items: Iterable[Any], count: int) -> None:
        super().__init__(name="selfvos-ahead", daemon=True)
        self.made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.room = threading.Semaphore(count)
        self._left = False
        self._items: Iterable[Any] | None = items

    def run(self) -> None:
        try:
            waiting = iter(self._items or ())
            self._items = None  # ends with this function, also while something still refers to the thread
            while self.room.acquire() and not self._left:
                self.made.put((next(waiting), None))
        except BaseException as error:
            self.made.put((None, error))

    def leave(self) -> None:
        self._left = True
        self.room.release()
        _running.discard(self)
        if self is not threading.current_thread():  # as where an item is the last that knew of the iteration
            self.join(_PATIENCE_SECONDS)


_running: set[_Maker] = set()


@atexit.register
def _leave_all() -> None:
    """End all threads: one that is in the middle of compiled code while the process ends would abort it."""
    for maker in list(_running):
        maker.leave()
