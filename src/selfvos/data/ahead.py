"""Read the next frames while the current one is being worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_WAIT_SECONDS = 0.1


def ahead(items: Iterable[T], count: int = 2) -> Iterator[T]:
    """Yield the items in order, fetched by a thread that stays at most `count` items ahead.

    Fetching starts with the first item asked for. What fetching raises is raised where the item would have come; when
    the iteration is left early the thread ends within a moment.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
    left = threading.Event()

    def hand_over(item: T | None, error: BaseException | None) -> bool:
        while not left.is_set():
            try:
                waiting.put((item, error), timeout=_WAIT_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not hand_over(item, None):
                    return
            hand_over(None, StopIteration())
        except BaseException as error:
            hand_over(None, error)

    thread = threading.Thread(target=fetch, name="selfvos-ahead", daemon=True)
    thread.start()
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
