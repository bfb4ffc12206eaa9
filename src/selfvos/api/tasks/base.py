"""What a task can do: follow its things through a video, score what was found, and show it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.evaluation.pictures import Picture
from selfvos.evaluation.report import Report
from selfvos.models.segmenter import Segmenter
from selfvos.registry import Registry
from selfvos.tracking.settings import TrackConfig
from selfvos.types import Frame, Watch

Follower = TypeVar("Follower")
"""Tracker of a task."""


class Task(ABC, Generic[Follower]):
    """One kind of thing to be followed. A benchmark names its task; all that differs between tasks is in here."""

    folder: ClassVar[str]
    """Folder of the results below that of a run."""
    side_by_side: ClassVar[bool] = True
    """Whether several ways of tracking can run and be compared frame by frame."""

    @abstractmethod
    def require_given(self, video: LabelledVideo) -> None:
        """Read all that a tracker is given of a video, so that what is missing is told before anything is tracked.

        Raises:
            DataError: Something is missing or cannot be read.
        """

    @abstractmethod
    def tracker(self, model: Segmenter, config: TrackConfig) -> Follower:
        """Make a tracker for a network in evaluation mode."""

    @abstractmethod
    def provenance(self, tracker: Follower) -> dict[str, str]:
        """Return what a report says of a tracker: ``precision`` and, where something sets it apart, ``supervision``."""

    @abstractmethod
    def follow(
        self, tracker: Follower, video: LabelledVideo, results: Path, frames: Iterator[Frame] | None = None
    ) -> Iterator[None]:
        """Follow a video with a new tracker, write what results need below a folder, and yield after each frame.

        Args:
            tracker: A new one.
            video: What to track, from its first given frame on.
            results: Where results of all videos go.
            frames: Those frames, where others look at the same; by default they are read here.
        """

    @abstractmethod
    def files(self, video: LabelledVideo) -> tuple[Path, ...]:
        """Return the files that `follow` writes of a video, below the folder of results."""

    @abstractmethod
    def score(self, benchmark: Benchmark, results: Path, provenance: Mapping[str, str | float], watch: Watch) -> Report:
        """Score the results of any method.

        Args:
            benchmark: What was followed.
            results: Folder that holds, for each video, what `files` names.
            provenance: What the results come from; hashes of truth and results are added.
            watch: Told how many frames are done; see `Watch`.

        Raises:
            DataError: A result is missing, unreadable or does not fit.
            Stopped: The watch asked for it.
        """

    def pictures(
        self,
        benchmark: Benchmark,
        results: Mapping[str, Path],
        reports: Mapping[str, Report],
        chosen: Sequence[tuple[int, int]],
    ) -> tuple[Picture, ...]:
        """Draw frames of results beside their truth; see `take_pictures`. Nothing where there is nothing to draw."""
        del benchmark, results, reports, chosen
        return ()

    def overlay(self, benchmark: Benchmark, video: LabelledVideo, results: Path, path: Path) -> Iterator[None]:
        """Draw the results of a video on its frames, as a video; yield after each. Nothing where nothing can be drawn.

        Args:
            benchmark: Reads the results.
            video: What was followed.
            results: Folder of the results of all videos.
            path: The mp4 to write, once all frames are drawn.
        """
        del benchmark, video, results, path
        yield from ()

    def faults(self, video: LabelledVideo) -> Iterator[str]:
        """Yield what is wrong with what is given of a video whose files are all there, one line each."""
        del video
        yield from ()


TASKS: Registry[Task[Any]] = Registry("task", "selfvos.api.tasks")
"""By the name that benchmarks use."""


def task_of(benchmark: Benchmark) -> Task[Any]:
    """Return what a benchmark asks for.

    Raises:
        UnknownName: There is no such task.
    """
    return TASKS.get(benchmark.task)
