"""A video and a mask in, every frame's masks out."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from selfvos.data.ahead import ahead
from selfvos.data.mask_png import read_first_mask, read_mask
from selfvos.data.results import ResultFolder
from selfvos.data.source import DEFAULT_FPS, FrameArrays, Source, open_source
from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker, quality_config, recommended
from selfvos.types import Frame, Tracked

Masks = Mapping[int, np.ndarray | str | Path]
"""Masks of later frames, by frame index."""


def track(
    model: Segmenter,
    video: str | Path | Iterable[np.ndarray],
    first_mask: np.ndarray | str | Path,
    *,
    masks: Masks | None = None,
    config: TrackConfig | None = None,
) -> Iterator[Tracked]:
    """Follow the objects of the first frame through a video, one frame at a time, in constant memory.

    Args:
        model: A loaded network.
        video: A video file, a folder of pictures, or RGB uint8 arrays y x 3.
        first_mask: Object ids of the first frame, as an array or a file.
        masks: Masks of later frames, by index: objects that appear there, or are drawn anew.
        config: How to track; by default as the weights recommend.

    Yields:
        Each frame with its mask and the state of every object, in order.

    Raises:
        UsageError: No such file.
        BrokenVideo: No frame can be read.
        MaskMismatch: A mask does not fit its frame, or its ids cannot be told.
    """
    return follow(make_tracker(model, config), _frames(open_source(video)), {**(masks or {}), 0: first_mask})


def track_to(
    model: Segmenter,
    video: str | Path | Iterable[np.ndarray],
    first_mask: np.ndarray | str | Path,
    out: str | Path,
    *,
    masks: Masks | None = None,
    config: TrackConfig | None = None,
    fps: float = DEFAULT_FPS,
) -> Iterator[Tracked]:
    """As `track`, and write ``masks/<frame name>.png`` and ``overlay.mp4`` below `out` on the way.

    Whatever ends the iteration early, the masks and the overlay of the frames so far are kept. The overlay runs at
    the frame rate of a video file, and at `fps` for pictures and arrays, which have none.
    """
    source = open_source(video, fps=fps)
    results = follow(make_tracker(model, config), _frames(source), {**(masks or {}), 0: first_mask})
    out = Path(out)

    def writing() -> Iterator[Tracked]:
        with ResultFolder(out / "masks", overlay_video=out / "overlay.mp4", fps=source.fps) as folder:
            for tracked in results:
                folder.write(tracked)
                yield tracked

    return writing()


def track_config(model: Segmenter, preset_name: str | None, quality: str | None = None) -> TrackConfig:
    """Return a named preset, or what the weights recommend, for a quality that they know where one is asked for.

    Raises:
        UnknownName: No such preset.
        UsageError: The weights know no such quality, or a preset is named as well.
    """
    if quality is None:
        return recommended(model) if preset_name is None else PRESETS.get(preset_name)
    if preset_name is not None:
        raise UsageError("a preset has its own settings: name it, or a quality of the weights, not both")
    return quality_config(model, quality)


def follow(tracker: MaskTracker, frames: Iterable[Frame], masks: Masks) -> Iterator[Tracked]:
    """Run a tracker over frames; `masks` holds the first frame's mask under 0, and any later ones.

    Raises:
        MaskMismatch: A mask does not fit, or belongs to a frame that never came.
    """
    waiting = dict(masks)
    for index, frame in enumerate(frames):
        given = waiting.pop(index, None)
        mask = None if given is None else _mask(given, frame, first=index == 0)
        ids = tracker.start(frame.rgb, mask) if index == 0 and mask is not None else tracker.step(frame.rgb, mask)
        yield Tracked(frame=frame, mask=ids, objects=tracker.objects)
    if waiting:
        raise MaskMismatch(f"masks were given for frames {sorted(waiting)}, but the video ends before them")


def _frames(source: Source) -> Iterable[Frame]:
    # Whoever hands over arrays may make each one when it is asked for: a camera is not read ahead of.
    return source if isinstance(source, FrameArrays) else ahead(source)


def _mask(given: np.ndarray | str | Path, frame: Frame, *, first: bool) -> np.ndarray:
    if isinstance(given, np.ndarray):
        return given
    size = (frame.rgb.shape[0], frame.rgb.shape[1])
    return read_first_mask(given, size) if first else read_mask(given, size)
