"""The frames that tell most about a result, drawn: where it is worst, or where several differ."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Integer, UInt8
from PIL import Image

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.overlay import overlay
from selfvos.data.source import read_image
from selfvos.errors import DataError
from selfvos.evaluation.comparison import Comparison
from selfvos.evaluation.report import ObjectSeries, Report, decimals

MOST = 12
"""Frames chosen in all."""
PER_OBJECT = 2
"""Frames chosen of one object."""
_WIDTH_PX = 400
_QUALITY = 72
_GREY = 96
"""Behind masks whose frame is not at hand."""


class View(NamedTuple):
    """One drawing of a frame."""

    caption: str
    jpeg: bytes


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One frame of one object: the true mask, then that of each result."""

    object: str
    """Row of the object in tables."""
    frame: str
    views: tuple[View, ...]


def worst_frames(report: Report) -> list[tuple[int, int]]:
    """Choose the frames with the lowest mean over measures, as positions of the object and of its frame."""
    return _striking(report.series, [-one.level() for one in report.series])


def frames_apart(comparison: Comparison) -> list[tuple[int, int]]:
    """Choose the frames in which results differ most, as positions of the object and of its frame."""
    levels = zip(*([one.level() for one in report.series] for report in comparison.reports.values()), strict=True)
    return _striking(comparison.first.series, [np.ptp(np.stack(each), axis=0) for each in levels])


def take_pictures(
    benchmark: Benchmark,
    results: Mapping[str, Path],
    reports: Mapping[str, Report],
    chosen: Sequence[tuple[int, int]],
) -> tuple[Picture, ...]:
    """Draw frames with the outline of their true masks, and with the masks of each result.

    Args:
        benchmark: Where frames and true masks come from; masks lie on plain grey where a frame has no picture.
        results: Folder of each result, by name.
        reports: Its report, by the same name.
        chosen: Positions of objects in the reports, and of frames in those objects' series.

    Returns:
        One entry for each chosen frame.
    """
    videos = {video.name: video for video in benchmark.videos}
    taken = []
    for which, t in chosen:
        one = next(iter(reports.values())).series[which]
        video, frame = videos[one.video], one.frames[t]
        truth = video.truth(frame)
        rgb = _reduced(_photograph(video, frame, truth.shape))
        views = [View("truth", _drawn(rgb, truth, alpha=0.0))]
        for name, folder in results.items():
            found = benchmark.read_result(folder / video.name / f"{frame}.png")
            caption = f"{name}: {_spelt(reports[name].series[which], t)}"
            views.append(View(caption, _drawn(rgb, found, alpha=0.5)))
        taken.append(Picture(object=one.name, frame=frame, views=tuple(views)))
    return tuple(taken)


def _striking(series: Sequence[ObjectSeries], scores: Sequence[Float64[np.ndarray, "_"]]) -> list[tuple[int, int]]:
    """Choose the highest-scoring frames, those of one object at least a third of its length apart."""
    ranked = sorted(
        ((value, which, t) for which, values in enumerate(scores) for t, value in enumerate(values) if value == value),
        key=lambda entry: (-entry[0], entry[1:]),
    )
    chosen: list[tuple[int, int]] = []
    for _, which, t in ranked:
        others = [u for other, u in chosen if other == which]
        far = all(abs(t - u) >= len(series[which].frames) / 3 for u in others)
        if far and len(others) < PER_OBJECT:
            chosen.append((which, t))
        if len(chosen) == MOST:
            break
    return chosen


def _spelt(series: ObjectSeries, t: int) -> str:
    return ", ".join(f"{measure} {decimals(float(values[t]))}" for measure, values in series.values.items())


def _photograph(video: LabelledVideo, frame: str, shape: tuple[int, int]) -> UInt8[np.ndarray, "y x 3"]:
    try:
        rgb = read_image(video.frames[video.frame_names.index(frame)])
    except DataError:  # scores need no pictures: without them the masks still show what went wrong
        rgb = None
    if rgb is None or rgb.shape[:2] != shape:
        return np.full((*shape, 3), _GREY, np.uint8)
    return rgb


def _reduced(rgb: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "_y _x 3"]:
    height, width = rgb.shape[:2]
    shown = min(width, _WIDTH_PX)
    return np.array(Image.fromarray(rgb).resize((shown, round(height * shown / width)), Image.Resampling.BOX))


def _drawn(rgb: UInt8[np.ndarray, "y x 3"], ids: Integer[np.ndarray, "_y _x"], *, alpha: float) -> bytes:
    # Reduced before the rim is drawn, which stays two pixels wide.
    mask = Image.fromarray(ids).resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.NEAREST)
    file = io.BytesIO()
    Image.fromarray(overlay(rgb, np.asarray(mask), alpha)).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()
