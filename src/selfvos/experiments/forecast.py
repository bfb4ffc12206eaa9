"""What a table will take, before any of it is done: steps, frames, and roughly how long."""

import math
from collections.abc import Iterator
from pathlib import Path

from selfvos.data.benchmarks.base import Benchmark
from selfvos.data.source import find_videos
from selfvos.experiments.compare import Step
from selfvos.experiments.planning import Plan
from selfvos.experiments.runs import BenchmarkAt, is_trained
from selfvos.experiments.systems import needs_masks, warmup_of
from selfvos.experiments.trial import SIDE_PX, Trials
from selfvos.training.settings import PhaseConfig, TrainConfig

_VIDEO_FRAMES = 100
"""Frames that a training video is taken to have, as long as nobody has opened it."""


def describe(asked: Plan, benchmark: str, root: Path, out: Path) -> Iterator[str]:
    """Yield a line for each thing to be done: what it is, and roughly how long it takes.

    Times come from trials on pictures of a few pixels, one for rows that are alike in it, and are scaled by pixels,
    clips and frames; the last line says so. Decoding of videos, scoring, and that matching slows down until the memory
    is full are left out.

    Args:
        asked: The plan.
        benchmark: Name of the protocol.
        root: Folder of its data set.
        out: Folder of the ablation.
    """
    videos = BenchmarkAt(name=benchmark, root=root).open()
    forecast = _Forecast(asked, videos)
    total = 0.0
    for place, config in _warmups(asked).items():
        if not is_trained(place):
            seconds = forecast.training(config)
            total += seconds
            yield f"{place.name}: warm-up of {forecast.steps(config.warmup)} steps, {spell(seconds)}"
    for step in asked.steps.values():
        what, seconds = forecast.learning(step)
        if (out / "scores" / step.system.name / "asked.json").is_file():
            what.append("tracked already, unless settings have changed")
        else:
            seconds += forecast.tracking(step)
            what.append(f"track {forecast.frames} frames")
        total += seconds
        yield f"{step.system.name}: {', '.join(what)}, {spell(seconds)}"
    yield f"in all {spell(total)}" + f", if training videos have {_VIDEO_FRAMES} frames" * forecast.guesses_frames()
    yield f"Times are rough: scaled by pixels and clips from trials on pictures of {SIDE_PX} pixels, here and now."


def spell(seconds: float) -> str:
    """Spell a rough time."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _warmups(asked: Plan) -> dict[Path, TrainConfig]:
    warmups = {}
    for step in asked.steps.values():
        if step.warmup and step.training and not step.done:
            warmups[step.warmup] = warmup_of(step.training)
    return warmups


class _Forecast:
    """Counts what is to be done, and has trials say how long one of each takes."""

    def __init__(self, asked: Plan, benchmark: Benchmark) -> None:
        self._asked = asked
        self._trials = Trials(asked.budget, benchmark)
        self._count = sum(len(find_videos(root).videos) for root in asked.budget.videos)
        self._planned: set[Path] = set()
        self.frames = sum(len(video.tracked) for video in benchmark.videos)
        """Frames to be tracked for each row."""

    def steps(self, phase: PhaseConfig) -> int:
        """Return the steps of a phase."""
        return phase.epochs * (phase.steps_per_epoch or math.ceil(self._count / phase.batch_clips))

    def training(self, config: TrainConfig) -> float:
        """Return the seconds of a training, clustering included."""
        phases = [phase for phase in (config.warmup, config.joint) if phase.epochs]
        seconds = sum(self.steps(phase) * self._trials.step(config, phase) for phase in phases)
        rounds = _rounds(config)
        if rounds:
            masks = config.pseudo_masks
            videos = min(masks.max_videos or self._count, self._count)
            frames = rounds * videos * (masks.max_frames or _VIDEO_FRAMES)
            seconds += frames * self._trials.clustered_frame(config)
        return seconds

    def learning(self, step: Step) -> tuple[list[str], float]:
        """Return what a row has to learn that no row before it does, and the seconds of that."""
        if not (step.run and step.training):
            return [], 0.0
        if step.done or step.run in self._planned:
            return ["trained already" if step.done else f"trained as {step.run.name}"], 0.0
        self._planned.add(step.run)
        text, seconds = self._rest(step, step.training)
        return [text], seconds

    def tracking(self, step: Step) -> float:
        """Return the seconds of tracking for a row."""
        return self.frames * self._trials.tracked_frame(step)

    def guesses_frames(self) -> bool:
        """Return whether the number of frames of training videos matters."""
        clustered = [one.training for one in self._asked.steps.values() if one.training and _rounds(one.training)]
        return any(not config.pseudo_masks.max_frames for config in clustered)

    def _rest(self, step: Step, config: TrainConfig) -> tuple[str, float]:
        """Return what a training does after a warm-up that it shares, and the seconds of that."""
        seconds, steps = self.training(config), self.steps(config.warmup) + self.steps(config.joint)
        rounds = _rounds(config)
        masks = f" and {rounds} rounds of pseudo masks" if rounds else ""
        warmup = warmup_of(config)
        if step.warmup and warmup:
            seconds -= self.training(warmup)
            return f"train {self.steps(config.joint)} steps{masks} from {step.warmup.name}", seconds
        return f"train {steps} steps{masks}", seconds


def _rounds(config: TrainConfig) -> int:
    if not config.joint.epochs or config.true_masks or not needs_masks(config.joint):
        return 0
    period = config.pseudo_masks.refresh_epochs
    return math.ceil(config.joint.epochs / period) if period else 1
