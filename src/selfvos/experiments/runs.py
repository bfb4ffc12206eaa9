"""One system trained, and one tracked and scored: each once, and not again when that was done before."""

import json
import logging
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfvos import api
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.settings import from_dict, to_dict
from selfvos.storage import write_text
from selfvos.tracking.settings import TrackConfig
from selfvos.training.checkpoint import branch, latest_checkpoint
from selfvos.training.settings import TrainConfig
from selfvos.types import nobody

log = logging.getLogger(__name__)

Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def train_once(
    config: TrainConfig,
    videos: Sequence[str | Path],
    run: Path,
    *,
    device: str = "auto",
    cache: Path | None = None,
    watch: Watch = nobody,
) -> None:
    """Train until a run is complete: go on with one that was interrupted, and leave a complete one alone.

    Args:
        config: What to train.
        videos: See `selfvos.train`.
        run: Folder of the run.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        cache: Where decoded videos are kept.
        watch: Called after every step.

    Raises:
        UsageError: The folder holds a run with other settings.
    """
    settings = run / "settings.json"
    if settings.is_file() and from_dict(TrainConfig, json.loads(settings.read_text())) != config:
        raise UsageError(f"{run} was trained with other settings; choose another --out, or remove that folder")
    if is_trained(run):
        return
    api.train(
        config,
        videos=videos,
        out=run,
        resume=run.is_dir(),
        device=device,
        cache=cache,
        watch=lambda report: watch(report.stage, report.done, report.total),
        packing=lambda done, total: watch("decoding videos", done, total or 0),
    )


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


def require_scored(benchmark: str, root: Path) -> None:
    """Refuse a benchmark that gives no scores of masks, before anything is done for it.

    Raises:
        UsageError: It is scored by a server only, or follows points.
        DataError: The data set is incomplete.
    """
    videos = BENCHMARKS.get(benchmark)(root)
    if not videos.scored_here or videos.task == "points":
        why = "follows points" if videos.scored_here else "is scored by its server only"
        raise UsageError(f"{benchmark} {why}; choose a benchmark whose masks are scored here")


def score_all(
    model: Segmenter,
    configs: Mapping[str, TrackConfig],
    benchmark: str,
    root: Path,
    out: Path,
    *,
    watch: Watch = nobody,
) -> None:
    """Track a benchmark in several ways side by side, and score each: what was done before is not done again.

    Videos that were finished before an interruption are kept.

    Args:
        model: A loaded network.
        configs: How to track, by name.
        benchmark: Name of the protocol.
        root: Folder of the data set.
        out: For each name there is ``<name>`` below it: masks and scores as in `selfvos.evaluate`, ``asked.json`` and
            ``speed.json`` when all is done, ``tracked.json`` before that.
        watch: Called with the video, frames done, and frames in all.

    Raises:
        UsageError: The results would replace the true masks.
    """
    asked = {"weights": digest(model.state_dict()), "benchmark": benchmark, "root": str(root.resolve())}
    wanted = {name: {**asked, "track": to_dict(config)} for name, config in configs.items()}
    todo = {name: config for name, config in configs.items() if not _is_scored(out / name, wanted[name])}
    if not todo:
        return
    tracked = {name: _tracked_before(out / name, wanted[name]) for name in todo}
    for name in todo:
        (out / name / "asked.json").unlink(missing_ok=True)
    folders = {name: out / name for name in todo}
    for video, times in api.track_together(
        model, benchmark, todo, root=root, out=folders, kept={n: v.keys() for n, v in tracked.items()}, watch=watch
    ):
        for name, seconds in times.items():
            # The first frame waits for compilers and has nothing to follow.
            tracked[name][video] = seconds[1:]
            write_text(out / name / "tracked.json", json.dumps({**wanted[name], "videos": tracked[name]}) + "\n")
    for name in todo:
        supervision = api.make_tracker(model, todo[name]).supervision
        notes = {"weights": asked["weights"], **api.flat_settings(todo[name], supervision)}
        api.score(out / name / "masks", benchmark, root=root, out=out / name, settings=notes)
        # The median: one frame may wait for a busy disk.
        seconds = [one for video in tracked[name].values() for one in video]
        median = statistics.median(seconds) if seconds else float("nan")
        write_text(out / name / "speed.json", json.dumps({"seconds_per_frame": median}) + "\n")
        write_text(out / name / "asked.json", json.dumps(wanted[name], indent=1) + "\n")
        (out / name / "tracked.json").unlink(missing_ok=True)


def _is_scored(scores: Path, wanted: dict[str, Any]) -> bool:
    marker = scores / "asked.json"
    return marker.is_file() and _same(json.loads(marker.read_text()), wanted)


def _tracked_before(scores: Path, wanted: dict[str, Any]) -> dict[str, list[float]]:
    marker = scores / "tracked.json"
    if not marker.is_file():
        return {}
    before = json.loads(marker.read_text())
    videos = before.pop("videos")
    return videos if _same(before, wanted) else {}


def _same(before: dict[str, Any], wanted: dict[str, Any]) -> bool:
    # Settings that did not exist then have their defaults.
    before, wanted = dict(before), dict(wanted)
    try:
        track = from_dict(TrackConfig, before.pop("track"))
    except UsageError:  # written by another version, with other settings
        return False
    return track == from_dict(TrackConfig, wanted.pop("track")) and before == wanted


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
