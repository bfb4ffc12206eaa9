"""What tasks share whose results are masks, whatever the ids in them stand for."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from selfvos.api.tasks.base import Task
from selfvos.data.benchmarks.base import Benchmark, LabelledVideo, read_tracked
from selfvos.data.mask_png import write_mask
from selfvos.data.overlay import overlay
from selfvos.data.video_writer import VideoWriter
from selfvos.evaluation.pictures import Picture, take_pictures
from selfvos.evaluation.report import Report
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker
from selfvos.types import Frame, Watch


class MaskFollowing(Task[MaskTracker]):
    """Follows masks, and writes them to ``<video>/<frame>.png``."""

    folder = "masks"

    def require_given(self, video: LabelledVideo) -> None:
        """Read the given masks of a video; see `Task.require_given`."""
        for frame in video.given:
            video.given_mask(frame)

    def tracker(self, model: Segmenter, config: TrackConfig) -> MaskTracker:
        """Make the tracker that settings and weights ask for."""
        return make_tracker(model, config)

    def provenance(self, tracker: MaskTracker) -> dict[str, str]:
        """Return the precision and, for supervised systems, that they are supervised."""
        marked = {"supervision": tracker.supervision} if tracker.supervision else {}
        return {**marked, "precision": tracker.precision}

    def follow(
        self, tracker: MaskTracker, video: LabelledVideo, results: Path, frames: Iterator[Frame] | None = None
    ) -> Iterator[None]:
        """Follow the objects of a video, and write the masks of those frames that results need; see `Task.follow`."""
        given, required = set(video.given), set(video.required)
        for t, frame in enumerate(frames or tracker.ahead(read_tracked(video), smooth=True)):
            mask = video.given_mask(frame.name) if frame.name in given else None
            ids = tracker.start(frame.rgb, mask) if t == 0 and mask is not None else tracker.step(frame.rgb, mask)
            if frame.name in required:
                write_mask(results / video.name / f"{frame.name}.png", ids)
            yield

    def files(self, video: LabelledVideo) -> tuple[Path, ...]:
        """Return the masks that a complete result holds."""
        return tuple(Path(video.name, f"{frame}.png") for frame in video.required)

    @abstractmethod
    def score(self, benchmark: Benchmark, results: Path, provenance: Mapping[str, str | float], watch: Watch) -> Report:
        """Score masks; see `Task.score`."""

    def pictures(
        self,
        benchmark: Benchmark,
        results: Mapping[str, Path],
        reports: Mapping[str, Report],
        chosen: Sequence[tuple[int, int]],
    ) -> tuple[Picture, ...]:
        """Draw the masks on their frames."""
        return take_pictures(benchmark, results, reports, chosen)

    def overlay(self, benchmark: Benchmark, video: LabelledVideo, results: Path, path: Path) -> Iterator[None]:
        """Draw the masks on the frames that results have to hold."""
        required = set(video.required)
        with VideoWriter(path) as writer:
            for frame in read_tracked(video):
                if frame.name in required:
                    ids = benchmark.read_result(results / video.name / f"{frame.name}.png")
                    writer.write(overlay(frame.rgb, ids), frame.seconds)
                yield
