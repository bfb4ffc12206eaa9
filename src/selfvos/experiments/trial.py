"""How long one step, one clustered and one tracked frame take: tried small, and scaled to their full size."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from selfvos import api
from selfvos.data.benchmarks.base import Benchmark
from selfvos.data.source import read_image
from selfvos.experiments.compare import Budget, Step
from selfvos.models.inference import for_inference
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import WeightsNotes
from selfvos.settings import to_dict
from selfvos.tracking.framing import Framing
from selfvos.tracking.system import make_tracker
from selfvos.training.settings import ObjectiveSpec, PhaseConfig, TrainConfig
from selfvos.training.step import TrainingStep
from selfvos.types import Clip

SIDE_PX = 64
"""Side of crops, and shorter side of frames, in trials; smaller ones stay as they are."""
_CLIPS = 2
"""Clips of a trial: some objectives compare videos with each other."""
_WIDE = 16 / 9
"""Sides of a video frame, as far as nobody has opened it."""
_TRACKED = 2


class Trials:
    """Tries each distinct thing once. Costs are taken to grow with the number of pixels and of clips.

    What grows faster, such as a comparison of all cells with all, is underestimated; what does not grow is counted
    too often.
    """

    def __init__(self, budget: Budget, benchmark: Benchmark) -> None:
        """Remember on what device to try, and a benchmark that lends frames."""
        self._budget = budget
        self._benchmark = benchmark
        self._device = api.pick_device(budget.device)
        self._known: dict[str, float] = {}
        self._models: dict[str, Segmenter] = {}

    def step(self, config: TrainConfig, phase: PhaseConfig) -> float:
        """Return the seconds of one optimiser step of a phase, as if each objective encoded the frames by itself."""
        once = sum(self._objective(config, spec) for spec in phase.objectives)
        return once * (config.clips.crop_px / min(SIDE_PX, config.clips.crop_px)) ** 2 * phase.batch_clips

    def _objective(self, config: TrainConfig, spec: ObjectiveSpec) -> float:
        """Return the seconds that a small clip takes with one objective."""

        def run() -> float:
            module = TrainingStep(self._untrained(config).train(), (spec,)).to(self._device)
            clip = _random_clip(config, min(SIDE_PX, config.clips.crop_px), self._device)
            seeds = torch.Generator().manual_seed(0)
            return _timed(lambda: module(clip, seeds)[0].backward()) / _CLIPS

        return self._once(run, "step", to_dict(config.model), to_dict(config.clips), to_dict(spec))

    def clustered_frame(self, config: TrainConfig) -> float:
        """Return the seconds of encoding one frame for pseudo masks."""
        whole = config.pseudo_masks.short_side_px

        def run() -> float:
            model = for_inference(self._untrained(config).eval())
            sides = [max(1, round(side / model.stride)) * model.stride for side in (SIDE_PX, SIDE_PX * _WIDE)]
            frame = torch.rand(1, 3, *sides, device=self._device)
            with torch.inference_mode():
                return _shortest(lambda: model.encode_frame(frame).key.sum().item())

        return self._once(run, "cluster", to_dict(config.model)) * (whole / SIDE_PX) ** 2

    def tracked_frame(self, step: Step) -> float:
        """Return the seconds of one tracked frame, reading and writing left out."""
        # Rows without training share weights; others are tried with untrained ones of their kind.
        if step.training:
            model = self._untrained(step.training).eval()
            model.notes = WeightsNotes(track=step.training.track)
        else:
            model = self._loaded(step.system.source)
        config = step.system.tracking(model, self._budget.track)
        video = self._benchmark.videos[0]
        given = video.given_mask(video.given[0])
        size = (given.shape[0], given.shape[1])
        whole = Framing.fit(size, config.frame, model.stride).resized
        ratio = min(1.0, SIDE_PX / min(whole))
        small = tuple(max(16, round(side * ratio)) for side in whole)
        tried = replace(config, frame=replace(config.frame, size_px=None, short_side_px=min(small)))

        def run() -> float:
            first = video.frame_names.index(video.given[0])
            frames = [_resized(read_image(path), small) for path in video.frames[first : first + _TRACKED]]
            tracker = make_tracker(model, tried)
            tracker.start(frames[0], _resized(given, small))
            return _timed(lambda: tracker.step(frames[-1]))

        source = "" if step.training else step.system.source
        once = self._once(run, "track", to_dict(model.config), to_dict(tried), source)
        return once * whole[0] * whole[1] / (small[0] * small[1])

    def _untrained(self, config: TrainConfig) -> Segmenter:
        key = json.dumps(to_dict(config.model), sort_keys=True)
        if key not in self._models:
            self._models[key] = Segmenter(config.model).to(self._device)
        return self._models[key]

    def _loaded(self, source: str) -> Segmenter:
        if source not in self._models:
            self._models[source] = api.load(source).to(self._device)
        return self._models[source]

    def _once(self, run: Callable[[], float], *of: object) -> float:
        key = json.dumps(of, sort_keys=True)
        if key not in self._known:
            self._known[key] = run()
        return self._known[key]


def _random_clip(config: TrainConfig, side: int, device: torch.device) -> Clip:
    index = torch.tensor(config.clips.offsets).expand(_CLIPS, -1)
    masks = (torch.arange(side)[:, None] * 3 // side).expand(*index.shape, side, side).contiguous()
    rgb = torch.rand(*index.shape, 3, side, side)
    return Clip(frames=rgb.to(device), index=index.to(device), masks=masks.to(device))


def _resized(picture: UInt8[np.ndarray, "y x *rgb"], size: tuple[int, ...]) -> UInt8[np.ndarray, "_y _x *rgb"]:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _shortest(run: Callable[[], object]) -> float:
    return min(_timed(run) for _ in range(2))


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
