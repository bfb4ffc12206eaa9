"""Learning from a person's own videos as the page does it: a run with pictures of what the network sees on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos.api.clusters import clustering, tint
from selfvos.api.learning import adapt, adaptation, open_video_cache
from selfvos.data.clips import FrameRange
from selfvos.data.overlay import contact_sheet, save_image
from selfvos.data.video_cache import VideoCache
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.settings import override
from selfvos.training.pseudo_masks import PseudoMaskMaker
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Watch, ignore

_SHOWN = 4
_PANEL_PX = 160
_CLUSTERED = ("max_videos=1", "max_frames=16", "short_side_px=240", "clusters.clusters=6")
"""What a picture costs: features of sixteen frames, in a second or two on two cores."""


@dataclass(frozen=True, kw_only=True)
class LearningPlan:
    """What to learn from, for how long, and what to show of it."""

    videos: Sequence[str | Path]
    """Videos, folders of frames, or folders of them."""
    steps: int = 60
    """Updates in all, at least 1."""
    picture_steps: int = 20
    """Steps between two pictures of clusters, at least 1."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.picture_steps < 1:
            raise UsageError(f"steps and picture_steps must be at least 1, got {self.steps} and {self.picture_steps}")


def learn_from(model: Segmenter, plan: LearningPlan, out: str | Path, *, watch: Watch = ignore) -> Path:
    """Adapt a network to videos, or go on where that was stopped, and return the path of the new weights.

    Beside the run, ``out/pictures`` gets a contact sheet of a video's frames above their clusters before the first
    step, and after every few: ``000020.png`` shows what the network saw after 20 steps.

    Args:
        model: A loaded network; it is changed.
        plan: What to learn from.
        out: A folder; the run lies in ``run`` below it.
        watch: Told of every step with its losses; asked after each.

    Raises:
        UsageError: The network has nothing to learn, or a setting is refused.
        DataError: No usable video.
        Stopped: The watch asked; a checkpoint was written before.
    """
    out = Path(out)
    config = adaptation(model, [f"warmup.steps_per_epoch={plan.steps}"])
    cached = open_video_cache(plan.videos, config, watch=watch)
    painter = _Painter(model, cached, override(clustering(model), _CLUSTERED), out / "pictures")
    painter.draw(0)
    seen = _Drawing(watch, painter, plan.picture_steps)
    return adapt(model, videos=cached, out=out / "run", config=config, resume=True, watch=seen)


class _Painter:
    """Draws a video's frames above their clusters, as the network sees them now."""

    def __init__(self, model: Segmenter, videos: VideoCache, config: PseudoMaskConfig, folder: Path) -> None:
        self._model, self._videos, self._folder = model, videos, folder
        usable = [FrameRange(v, 0, len(cached)) for v, cached in enumerate(videos.videos) if not cached.still]
        # Round 0 is always of the same frames, so that pictures can be compared.
        self._maker = PseudoMaskMaker(videos, usable, config, folder / "maps")

    def draw(self, step: int) -> None:
        file = self._folder / f"{step:06d}.png"
        if file.is_file():
            return
        made = self._maker.refresh(self._model, 0)
        (place,) = made.frame_ranges
        maps, cached = made.maps(place), self._videos.videos[place.video]
        shown = np.unique(np.linspace(0, place.length - 1, _SHOWN).round().astype(int)).tolist()
        frames = [cached.frame(place.start + i) for i in shown]
        pictures = [*frames, *(tint(frame, maps[i]) for frame, i in zip(frames, shown, strict=True))]
        labels = [f"frame {place.start + i}" for i in shown] + [f"{maps.max() + 1} clusters"] * len(shown)
        save_image(file, contact_sheet([_small(one) for one in pictures], len(shown), labels))


def _small(picture: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    image = Image.fromarray(picture)
    image.thumbnail((2 * _PANEL_PX, _PANEL_PX))
    return np.asarray(image)


class _Drawing:
    """A watch that draws clusters now and then before it passes on what it heard."""

    def __init__(self, watch: Watch, painter: _Painter, every: int) -> None:
        self._watch, self._painter, self._every = watch, painter, every

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """Draw after every few steps and after the last; see `Watch.tell`."""
        if "loss" in facts and (done % self._every == 0 or done == total):
            self._painter.draw(done)
        self._watch.tell(stage, done, total, **facts)

    def stopped(self) -> bool:
        """See `Watch.stopped`."""
        return self._watch.stopped()
