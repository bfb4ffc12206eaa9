"""Work shared among threads, for compiled code that lets go of the interpreter."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_parallel(task: Callable[[Item], Made], work: Sequence[Item], workers: int) -> list[Made]:
    """Do a task for every item, by up to so many threads; return what it made, in their order."""
    if workers == 1 or len(work) <= 1:
        return [task(item) for item in work]
    with ThreadPoolExecutor(min(workers, len(work))) as pool:
        return list(pool.map(task, work))


def in_turn(task: Callable[[Item], Made], work: Iterable[Item], workers: int) -> Iterator[Made]:
    """Yield what a task makes of every item, in their order, while up to so many are being made."""
    if workers == 1:
        yield from map(task, work)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in work:
            waiting.append(pool.submit(task, item))
            if len(waiting) == workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
