"""Read the next frames while the current one is being worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_WAIT_SECONDS = 0.1


def ahead(items: Iterable[T], count: int = 2) -> Iterator[T]:
    """Yield the items in order, fetched by a thread that stays at most `count` items ahead.

    Fetching starts with the first item asked for. What fetching raises is raised where the item would have come; when
    the iteration is left early the thread ends within a moment.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
    left = threading.Event()
    threading.Thread(target=_fetch, args=(items, waiting, left), name="selfvos-ahead", daemon=True).start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # pyright: ignore[reportReturnType]
    finally:
        left.set()


def _fetch(items: Iterable[T], waiting: queue.Queue[Any], left: threading.Event) -> None:
    try:
        for item in items:
            if not _hand_over((item, None), waiting, left):
                return
        _hand_over((None, StopIteration()), waiting, left)
    except BaseException as error:
        _hand_over((None, error), waiting, left)


def _hand_over(one: tuple[Any, BaseException | None], waiting: queue.Queue[Any], left: threading.Event) -> bool:
    """Wait for room and put one thing in; return whether anyone is still there to take it."""
    while not left.is_set():
        try:
            waiting.put(one, timeout=_WAIT_SECONDS)
            return True
        except queue.Full:
            continue
    return False
