"""How many threads compute: in torch's operations, and in the kernels of this package, which may have more."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import torch


class _Own(threading.local):
    kernels: Callable[[], int] | None = None


_own = _Own()


def kernel_threads() -> int:
    """Return how many threads a kernel may have that this thread calls: as many as torch, unless `computing` says."""
    return _own.kernels() if _own.kernels else torch.get_num_threads()


@contextmanager
def computing(threads: int, *, kernels: Callable[[], int] | None = None) -> Iterator[None]:
    """Have this thread, and no other, compute with so many threads in the block.

    Threads of kernels end with their work. Those of torch wait for more with their cores kept busy, so that work in
    another thread wants torch to have fewer in all than there are cores. A thread that uses torch for the first time
    while the block lasts takes its number over for good.

    Args:
        threads: Of torch's operations, at least 1.
        kernels: Tells how many those of this package may have at the time when they ask; by default as many.
    """
    before = torch.get_num_threads(), _own.kernels
    torch.set_num_threads(threads)
    _own.kernels = kernels
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        _own.kernels = before[1]


def shared_out(work: Callable[[], None]) -> None:
    """Run the same work in as many threads as kernels may have, each with one thread of torch's, until all are done.

    Args:
        work: Takes what is left to be done from a common store, piece by piece.
    """
    threads = kernel_threads()
    if threads == 1:
        work()
        return
    # Helpers first: what they say of torch's threads also holds for threads to come, until this one says otherwise.
    with computing(1):
        helping = [_helpers(threads - 1).submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            for one in helping:
                one.result()


@lru_cache
def _helpers(count: int) -> ThreadPoolExecutor:
    # Kept: threads that end take what libraries made for each of them, and new ones make it anew.
    return ThreadPoolExecutor(count, "selfvos-helper", initializer=torch.set_num_threads, initargs=(1,))


if hasattr(os, "register_at_fork"):  # a copy of this process has none of these threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)
