"""Many small jobs, such as frames to be scored, done by threads under the eyes of a watch."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from selfvos.types import Watch, go_on

Job = TypeVar("Job")
Found = TypeVar("Found")


def in_threads(
    work: Callable[[Job], Found], jobs: Sequence[Job], *, watch: Watch, stage: str, workers: int | None = None
) -> Iterator[Found]:
    """Yield what each job gives, in their order, whatever the number of threads.

    Args:
        work: What to do for one job.
        jobs: What to do it for.
        watch: Told how many jobs are done; asked before each is handed on.
        stage: What it is told that is being done.
        workers: Jobs done at a time; None for one per processor.

    Raises:
        Stopped: The watch asked for it; jobs that have not begun are left out.
    """
    pool = ThreadPoolExecutor(workers or _processors())
    try:
        for done, found in enumerate(pool.map(work, jobs), start=1):
            watch.tell(stage, done, len(jobs))
            go_on(watch)
            yield found
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
