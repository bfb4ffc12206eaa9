"""Points, such as the joints of a body: the percentage of correct keypoints (PCK)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from selfvos.api.tasks.base import TASKS, Task
from selfvos.data.benchmarks.base import Benchmark, LabelledVideo, read_tracked
from selfvos.data.points import PointVideo, write_points
from selfvos.errors import UsageError
from selfvos.evaluation.points import score_points
from selfvos.evaluation.report import Report
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.points import PointTracker
from selfvos.tracking.settings import TrackConfig
from selfvos.types import Frame, Watch


class Points(Task[PointTracker]):
    """Points, written to ``<video>.csv`` when a video is done. They have no masks that could be drawn."""

    folder = "points"
    side_by_side = False

    def require_given(self, video: LabelledVideo) -> None:
        """Read the given points of a video; see `Task.require_given`."""
        for frame in video.given:
            _with_points(video).points(frame)

    def tracker(self, model: Segmenter, config: TrackConfig) -> PointTracker:
        """Make a tracker of points."""
        return PointTracker(model, config)

    def provenance(self, tracker: PointTracker) -> dict[str, str]:
        """Return the precision."""
        return {"precision": tracker.precision}

    def follow(
        self, tracker: PointTracker, video: LabelledVideo, results: Path, frames: Iterator[Frame] | None = None
    ) -> Iterator[None]:
        """Follow the points of a video, and write their table at the end; see `Task.follow`."""
        video, found = _with_points(video), {}
        for frame in frames or read_tracked(video):
            first = not found
            found[frame.name] = tracker.start(frame.rgb, video.points(frame.name)) if first else tracker.step(frame.rgb)
            yield
        write_points(results / f"{video.name}.csv", found, video.objects)

    def files(self, video: LabelledVideo) -> tuple[Path, ...]:
        """Return the table of a video."""
        return (Path(f"{video.name}.csv"),)

    def score(self, benchmark: Benchmark, results: Path, provenance: Mapping[str, str | float], watch: Watch) -> Report:
        """Score PCK."""
        return score_points(benchmark, results, provenance, watch=watch)


def _with_points(video: LabelledVideo) -> PointVideo:
    if not isinstance(video, PointVideo):
        raise UsageError(f"{video.name} has no points to follow; its benchmark's task is another")
    return video


TASKS.register("points")(Points())
