"""One system trained, and one tracked and scored: each once, and not again when that was done before."""

import json
import logging
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfvos import api
from selfvos.api.benchmark_runs import BenchmarkRun
from selfvos.api.tasks.base import task_of
from selfvos.api.tracked_videos import TrackedVideos, asked_of, same_asked
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import from_dict
from selfvos.storage import write_text
from selfvos.tracking.settings import TrackConfig
from selfvos.training.checkpoint import branch, latest_checkpoint
from selfvos.training.settings import TrainConfig
from selfvos.types import Watch, ignore

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BenchmarkAt:
    """What everything is scored on."""

    name: str
    """Name of a protocol that is scored here."""
    root: Path
    """Folder of its data set."""

    def open(self) -> Benchmark:
        """Return its videos and rules.

        Raises:
            UnknownName: No such benchmark.
            DataError: The data set is incomplete.
        """
        return BENCHMARKS.get(self.name)(self.root)


def train_once(
    config: TrainConfig,
    videos: Sequence[str | Path],
    run: Path,
    *,
    device: str = "auto",
    cache: Path | None = None,
    watch: Watch = ignore,
) -> None:
    """Train until a run is complete: go on with one that was interrupted, and leave a complete one alone.

    Args:
        config: What to train.
        videos: See `selfvos.train`.
        run: Folder of the run.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        cache: Where decoded videos are kept.
        watch: Told of every step; see `Watch`.

    Raises:
        UsageError: The folder holds a run with other settings.
        Stopped: The watch asked for it; called again, training goes on from its last checkpoint.
    """
    settings = run / "settings.json"
    if settings.is_file() and from_dict(TrainConfig, json.loads(settings.read_text())) != config:
        raise UsageError(f"{run} was trained with other settings; choose another --out, or remove that folder")
    if is_trained(run):
        return
    cached = api.open_video_cache(list(videos), config, cache=cache, watch=watch)
    if cached.skipped:
        log.warning("%s", cached.summary())
    api.train(config, videos=cached, out=run, resume=run.is_dir(), device=device, watch=watch)


def begin_from(warmup: TrainConfig, source: Path, config: TrainConfig, run: Path) -> None:
    """Let a run that has not begun start from the end of a complete warm-up.

    Args:
        warmup: Settings of that warm-up; see `warmup_of`.
        source: Folder of its run.
        config: Settings of the run.
        run: Its folder.
    """
    if latest_checkpoint(run) is None and not is_trained(run):
        log.info("%s goes on from %s (%d steps)", run, source, warmup.warmup.steps_per_epoch)
        branch(source, run, config)


def require_scored(benchmark: BenchmarkAt) -> None:
    """Refuse a benchmark that gives no scores of masks, before anything is done for it.

    Raises:
        UsageError: It is scored by a server only, or follows points.
        DataError: The data set is incomplete.
    """
    videos = benchmark.open()
    if not videos.scored_here or not task_of(videos).side_by_side:
        why = f"follows {videos.task}" if videos.scored_here else "is scored by its server only"
        raise UsageError(f"{benchmark.name} {why}; choose a benchmark whose masks are scored here")


def score_all(
    model: Segmenter, configs: Mapping[str, TrackConfig], benchmark: BenchmarkAt, out: Path, *, watch: Watch = ignore
) -> None:
    """Track a benchmark in several ways side by side, and score each: what was done before is not done again.

    Videos that were finished before an interruption are kept.

    Args:
        model: A loaded network.
        configs: How to track, by name.
        benchmark: What to track.
        out: For each name there is ``<name>`` below it: masks and scores as in `selfvos.evaluate`, ``asked.json`` and
            ``speed.json`` when all is done, ``tracked.json`` before that.
        watch: Told how many frames are done, video by video; see `Watch`.

    Raises:
        UsageError: The results would replace the true masks.
        Stopped: The watch asked for it; called again, tracking goes on after the last finished video.
    """
    weights = digest(model.state_dict())
    asked = {name: asked_of(weights, benchmark.name, benchmark.root, config) for name, config in configs.items()}
    todo = {name: config for name, config in configs.items() if not _is_scored(out / name, asked[name])}
    if not todo:
        return
    finished = {name: TrackedVideos(out / name, asked[name]) for name in todo}
    for name in todo:
        (out / name / "asked.json").unlink(missing_ok=True)
    ways = {
        name: BenchmarkRun(config=config, out=out / name, kept=tuple(finished[name].seconds))
        for name, config in todo.items()
    }
    for video, times in api.track_together(model, benchmark.name, ways, root=benchmark.root, watch=watch):
        for name, seconds in times.items():
            # The first frame waits for compilers and has nothing to follow.
            finished[name].add(video, seconds[1:])
    for name, config in todo.items():
        supervision = api.make_tracker(model, config).supervision
        notes = {"weights": weights, **api.flat_settings(config, supervision)}
        place = out / name
        api.score(place / "masks", benchmark.name, root=benchmark.root, out=place, settings=notes, watch=watch)
        # The median: one frame may wait for a busy disk. Where one waits for its whole window the mean.
        seconds = [one for video in finished[name].seconds.values() for one in video]
        usual = statistics.fmean if config.smooth else statistics.median
        frame_s = usual(seconds) if seconds else float("nan")
        write_text(place / "speed.json", json.dumps({"seconds_per_frame": frame_s}) + "\n")
        write_text(place / "asked.json", json.dumps(asked[name], indent=1) + "\n")
        finished[name].remove()


def _is_scored(scores: Path, asked: Mapping[str, Any]) -> bool:
    marker = scores / "asked.json"
    return marker.is_file() and same_asked(json.loads(marker.read_text()), asked)


def is_trained(run: Path) -> bool:
    """Return whether a run is complete."""
    return (run / "weights.safetensors").is_file()


def training_cost(run: Path) -> dict[str, Any]:
    """Return the steps of a run and the minutes that they took, pauses left out.

    The time of a phase is its steps times their median, so that a machine that slept in between does not count.
    """
    phases: dict[str, list[float]] = defaultdict(list)
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        phases[entry["phase"]].append(entry["seconds"])
    seconds = sum(len(times) * statistics.median(times) for times in phases.values())
    return {"steps": sum(map(len, phases.values())), "minutes": seconds / 60}


def frames_per_second(out: Path) -> float:
    """Return how fast a scored system tracked, reading and writing included."""
    return 1 / json.loads((out / "speed.json").read_text())["seconds_per_frame"]
