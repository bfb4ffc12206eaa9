"""Results of a benchmark as videos to look at."""

from pathlib import Path

from selfvos.api.tasks.base import task_of
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.stopping import advising
from selfvos.types import Watch, go_on, ignore


def draw_overlays(
    results: str | Path, benchmark: str, *, root: str | Path, out: str | Path, watch: Watch = ignore
) -> None:
    """Draw the masks of any method on the frames of a benchmark, one ``<video>.mp4`` each; points have none.

    Args:
        results: Folder of the masks; see `score`.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: Where the videos go. They show the frames that results must hold.
        watch: Told how many frames are drawn; asked between frames.

    Raises:
        UnknownName: No such benchmark.
        DataError: A frame or mask is missing or cannot be read.
        Stopped: The watch asked for it; videos that were finished are kept.
    """
    videos = BENCHMARKS.get(benchmark)(Path(root))
    task, done, total = task_of(videos), 0, sum(len(video.tracked) for video in videos.videos)
    with advising("overlays of finished videos are kept; run the same command again for the rest"):
        for video in videos.videos:
            for _ in task.overlay(videos, video, Path(results), Path(out) / f"{video.name}.mp4"):
                done += 1
                watch.tell("drawing overlays", done, total)
                go_on(watch)
