"""What lies behind a table: how pseudo masks change over training, and masks over the rounds of a frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from selfvos.data.benchmarks.base import LabelledVideo
from selfvos.data.clips import FrameRange
from selfvos.data.source import read_image
from selfvos.evaluation.metrics import region_similarity
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.framing import Framing
from selfvos.tracking.label_propagation import MaskPropagation
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker
from selfvos.training.pseudo_masks import PseudoMasks
from selfvos.training.settings import TrainConfig
from selfvos.types import Watch, go_on, ignore

VIDEOS = 24
"""Videos of a round that are looked at."""
_FRAMES = 8
_TRACKED_VIDEOS, _TRACKED_FRAMES = 6, 40


@dataclass(frozen=True, kw_only=True)
class RoundOfMasks:
    """What a round of pseudo masks looks like, as means over videos; all in 0 to 1."""

    share: float
    """How much of the joint phase was done when it was made."""
    agreement: float
    """Share of cells that keep their cluster from the round before, clusters paired as well as they can be; NaN for
    the first round, and where no frame is in both."""
    largest: float
    """Share of cells in the largest cluster."""
    compactness: float
    """Share of cells that are in the largest connected piece of their cluster in their frame."""


@dataclass(frozen=True, kw_only=True)
class RoundOfDecoding:
    """What a refinement round does to a mask, as means over objects and frames; all in 0 to 1."""

    number: int
    """0 for the coarse mask."""
    from_coarse: float
    """1 - J of the masks of this round and the coarse ones."""
    from_before: float
    """1 - J of the masks of this round and the one before."""
    truth: float
    """J with the true masks."""


def describe_rounds(rounds: Sequence[PseudoMasks], config: TrainConfig) -> list[RoundOfMasks]:
    """Measure rounds of pseudo masks.

    Args:
        rounds: In order.
        config: Settings of the run that made them.
    """
    found = []
    for number, masks in enumerate(rounds):
        maps = [masks.maps(frame_range) for frame_range in masks.frame_ranges[:VIDEOS]]
        before = list(_pairs(rounds[number - 1], masks)) if number else []
        agreements = [agreement(old, new) for old, new in before]
        found.append(
            RoundOfMasks(
                share=number * config.pseudo_masks.refresh_epochs / config.joint.epochs,
                agreement=float(np.mean(agreements)) if agreements else float("nan"),
                largest=float(np.mean([np.bincount(m.ravel()).max() / m.size for m in maps])),
                compactness=float(np.mean([compactness(m) for m in maps])),
            )
        )
    return found


def agreement(one: Integer[np.ndarray, "t h w"], other: Integer[np.ndarray, "t h w"]) -> float:
    """Return the share of cells whose clusters correspond, under the pairing of clusters that makes it largest."""
    size = int(max(one.max(), other.max())) + 1
    together = np.bincount(one.ravel().astype(np.int64) * size + other.ravel(), minlength=size * size)
    table = together.reshape(size, size)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / one.size)


def compactness(maps: Integer[np.ndarray, "t h w"]) -> float:
    """Return the share of cells that lie in the largest connected piece of their cluster in their frame."""
    frames = maps[np.unique(np.linspace(0, len(maps) - 1, _FRAMES).round().astype(int))]
    inside = 0
    for frame in frames:
        for cluster in np.unique(frame):
            pieces, _ = ndimage.label(frame == cluster)  # pyright: ignore[reportGeneralTypeIssues]
            inside += int(np.bincount(pieces.ravel())[1:].max())
    return inside / frames.size


def describe_decoding(
    model: Segmenter, config: TrackConfig, videos: Sequence[LabelledVideo], *, watch: Watch = ignore
) -> list[RoundOfDecoding]:
    """Track some videos and see what each round does to the masks of a frame.

    Args:
        model: Network with V and D.
        config: How to track, with R of at least 1.
        videos: The first few are tracked, and of these the first frames.
        watch: Told of each video; asked between frames.

    Raises:
        Stopped: The watch asked for it.
    """
    rows, chosen = [], videos[:_TRACKED_VIDEOS]
    for number, video in enumerate(chosen):
        watch.tell("rounds within frames", number, len(chosen))
        for row in _decoded(model, config, video):
            rows.append(row)
            go_on(watch)
    table = np.array(rows).reshape(-1, config.refine.rounds + 1, 3)
    means = [
        [float(np.nanmean(column)) if len(column) else float("nan") for column in r.T] for r in table.swapaxes(0, 1)
    ]
    return [
        RoundOfDecoding(number=number, from_coarse=coarse, from_before=before, truth=truth)
        for number, (coarse, before, truth) in enumerate(means)
    ]


def _decoded(model: Segmenter, config: TrackConfig, video: LabelledVideo) -> Iterator[list[tuple[float, float, float]]]:
    """Yield, for each object of each frame that counts, the numbers of each round."""
    pictures = dict(zip(video.frame_names, video.frames, strict=True))
    frames = [(name, pictures[name]) for name in video.tracked]
    tracker, masks = Tracker(model, config), []

    def keep(number: int, probabilities: Tensor) -> None:
        if number == 0:
            masks.clear()
        masks.append(probabilities[0].argmax(dim=0).cpu().numpy())

    assert isinstance(tracker.propagator, MaskPropagation), "masks are decoded where there are rounds"
    tracker.propagator.watch_rounds = keep
    for i, (name, path) in enumerate(islice(frames, _TRACKED_FRAMES)):
        rgb = read_image(path)
        given = video.given_mask(name) if name in video.given else None
        if i == 0 and given is not None:
            tracker.start(rgb, given)
            continue
        ids = [state.id for state in tracker.objects]
        tracker.step(rgb, given)
        if name not in video.counted:
            continue
        y, x = Framing.fit((rgb.shape[0], rgb.shape[1]), config.frame, model.stride).resized
        truth = np.asarray(Image.fromarray(video.truth(name)).resize((x, y), Image.Resampling.NEAREST))
        shown = [each[:y, :x] for each in masks]
        for channel, number in enumerate(ids, start=1):
            objects = [each == channel for each in shown]
            yield [
                (
                    1 - region_similarity(objects[0], each),
                    1 - region_similarity(objects[max(0, r - 1)], each),
                    region_similarity(truth == number, each),
                )
                for r, each in enumerate(objects)
            ]


def _pairs(
    before: PseudoMasks, after: PseudoMasks
) -> Iterator[tuple[UInt8[np.ndarray, "t h w"], UInt8[np.ndarray, "t h w"]]]:
    """Yield the maps of two rounds for the frames that both have clustered."""
    old = {frame_range.video: frame_range for frame_range in before.frame_ranges}
    both = (frame_range for frame_range in after.frame_ranges if frame_range.video in old)
    for frame_range in islice(both, VIDEOS):
        first = max(frame_range.start, old[frame_range.video].start)
        end = min(_end(frame_range), _end(old[frame_range.video]))
        if first < end:
            pair = [
                (masks.maps(one)[first - one.start : end - one.start])
                for masks, one in ((before, old[frame_range.video]), (after, frame_range))
            ]
            yield pair[0], pair[1]


def _end(frame_range: FrameRange) -> int:
    return frame_range.start + frame_range.length
