"""What a table will take, before any of it is done: steps, frames, and roughly how long."""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from selfvos import api
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.data.source import find_videos, read_image
from selfvos.experiments.compare import Step
from selfvos.experiments.planning import Plan
from selfvos.experiments.runs import is_trained
from selfvos.experiments.systems import System, needs_masks, warmup_of
from selfvos.models.inference import for_inference
from selfvos.models.segmenter import Segmenter
from selfvos.settings import to_dict
from selfvos.tracking.system import make_tracker
from selfvos.training.settings import PhaseConfig, TrainConfig
from selfvos.training.step import TrainingStep
from selfvos.types import Clip

_CLIPS = 2
_VIDEO_FRAMES = 100
"""Frames that a training video is taken to have, as long as nobody has opened it."""
_TRACKED = 4


def describe(asked: Plan, benchmark: str, root: Path, out: Path) -> Iterator[str]:
    """Yield a line for each thing to be done: what it is, and roughly how long it takes.

    Times come from a training step on random clips, a clustered and a few tracked frames, each timed once for rows
    that are alike in it. Decoding of videos, scoring, and that matching slows down until the memory is full are
    left out.

    Args:
        asked: The plan.
        benchmark: Name of the protocol.
        root: Folder of its data set.
        out: Folder of the ablation.
    """
    videos = BENCHMARKS.get(benchmark)(root)
    frames = sum(len(video.frame_names) - video.frame_names.index(video.given[0]) for video in videos.videos)
    probe = _Probe(asked)
    total = 0.0
    for place, config in _warmups(asked).items():
        if not is_trained(place):
            seconds = probe.training(config)
            total += seconds
            yield f"{place.name}: warm-up of {probe.steps(config.warmup)} steps, {spell(seconds)}"
    trained: set[Path] = set()
    for system in asked.systems:
        step = asked.steps[system.name]
        what, seconds = [], 0.0
        if step.run and step.training:
            if step.done or step.run in trained:
                what.append("trained already" if step.done else f"trained as {step.run.name}")
            else:
                seconds, text = probe.rest(step, step.training)
                what.append(text)
            trained.add(step.run)
        if (out / "scores" / system.name / "asked.json").is_file():
            what.append("tracked already, unless settings have changed")
        else:
            seconds += frames * probe.tracking(system, step, videos)
            what.append(f"track {frames} frames")
        total += seconds
        yield f"{system.name}: {', '.join(what)}, {spell(seconds)}"
    clustered = [one.training for one in asked.steps.values() if one.training and _rounds(one.training)]
    guessed = any(not config.pseudo_masks.max_frames for config in clustered)
    yield f"in all {spell(total)}" + f", if training videos have {_VIDEO_FRAMES} frames" * guessed


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


class _Probe:
    """Times each distinct thing once."""

    def __init__(self, asked: Plan) -> None:
        self._asked = asked
        self._device = api.pick_device(asked.budget.device)
        self._known: dict[str, float] = {}
        self._count = sum(len(find_videos(root).videos) for root in asked.budget.videos)

    def steps(self, phase: PhaseConfig) -> int:
        """Return the steps of a phase."""
        return phase.epochs * (phase.steps_per_epoch or math.ceil(self._count / phase.batch_clips))

    def training(self, config: TrainConfig) -> float:
        """Return the seconds of a training, clustering included."""
        phases = [phase for phase in (config.warmup, config.joint) if phase.epochs]
        return sum(self.steps(phase) * self._step(config, phase) for phase in phases) + self._clustering(config)

    def rest(self, step: Step, config: TrainConfig) -> tuple[float, str]:
        """Return the seconds of what a training does after a warm-up that it shares, and what that is."""
        seconds, steps = self.training(config), self.steps(config.warmup) + self.steps(config.joint)
        rounds = _rounds(config)
        masks = f" and {rounds} rounds of pseudo masks" if rounds else ""
        warmup = warmup_of(config)
        if step.warmup and warmup:
            seconds -= self.training(warmup)
            return seconds, f"train {self.steps(config.joint)} steps{masks} from {step.warmup.name}"
        return seconds, f"train {steps} steps{masks}"

    def tracking(self, system: System, step: Step, benchmark: Benchmark) -> float:
        """Return the seconds of one tracked frame."""
        # Rows without training share weights; others are timed with untrained ones of their kind.
        model = Segmenter(step.training.model).eval() if step.training else api.load(system.source)
        model.notes = {"track": step.training.track} if step.training else model.notes
        config = system.tracking(model.to(self._device), self._asked.budget.track)
        video = benchmark.videos[0]
        first = video.frame_names.index(video.given[0])

        def run() -> float:
            frames = [read_image(path) for path in video.frames[first : first + _TRACKED]]
            tracker = make_tracker(model, config)
            tracker.start(frames[0], video.given_mask(video.given[0]))
            times = [_timed(lambda frame=frame: tracker.step(frame)) for frame in frames[1:]]
            return min(times, default=0.0)

        return self._once(run, "track", to_dict(model.config), to_dict(config), system.source if not step.run else "")

    def _step(self, config: TrainConfig, phase: PhaseConfig) -> float:
        def run() -> float:
            model = Segmenter(config.model).to(self._device).train()
            module = TrainingStep(model, phase.objectives).to(self._device)
            clips, side = min(_CLIPS, phase.batch_clips), config.clips.crop_px
            index = torch.tensor(config.clips.offsets).expand(clips, -1)
            shape = (clips, len(config.clips.offsets), side, side)
            masks = (torch.arange(side)[:, None] * 3 // side).expand(shape).contiguous()
            rgb = torch.rand(clips, len(config.clips.offsets), 3, side, side)
            clip = Clip(frames=rgb.to(self._device), index=index.to(self._device), masks=masks.to(self._device))
            seeds = torch.Generator().manual_seed(0)
            times = [_timed(lambda: module(clip, seeds)[0].backward()) for _ in range(2)]
            return min(times) * phase.batch_clips / clips

        return self._once(run, "step", to_dict(config.model), to_dict(config.clips), to_dict(phase)["objectives"])

    def _clustering(self, config: TrainConfig) -> float:
        rounds, masks = _rounds(config), config.pseudo_masks
        if not rounds:
            return 0.0
        videos = min(masks.max_videos or self._count, self._count)

        def run() -> float:
            model = for_inference(Segmenter(config.model).eval()).to(self._device)
            sides = [
                round(side / model.stride) * model.stride for side in (masks.short_side_px, masks.short_side_px * 1.78)
            ]
            frame = torch.rand(1, 3, *sides, device=self._device)
            with torch.inference_mode():
                return min(_timed(lambda: model.encode_frame(frame).key.sum().item()) for _ in range(2))

        frame = self._once(run, "cluster", to_dict(config.model), masks.short_side_px)
        return rounds * videos * (masks.max_frames or _VIDEO_FRAMES) * frame

    def _once(self, run: Callable[[], float], *of: object) -> float:
        key = json.dumps(of, sort_keys=True)
        if key not in self._known:
            self._known[key] = run()
        return self._known[key]


def _rounds(config: TrainConfig) -> int:
    if not config.joint.epochs or config.true_masks or not needs_masks(config.joint):
        return 0
    period = config.pseudo_masks.refresh_epochs
    return math.ceil(config.joint.epochs / period) if period else 1


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
