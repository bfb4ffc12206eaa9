"""Clips, cropped and with their masks, ready when they are needed."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

from selfvos.data.clips import ClipConfig, ClipPlan, RawClip, cut_clip, finish_batch, join_clips, load_clip, plan_batch
from selfvos.data.video_cache import VideoCache
from selfvos.training.distributed import World
from selfvos.training.mask_store import MaskStore
from selfvos.training.randomness import Randomness
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Clip

_AHEAD = 4
_THREADS = 8


@dataclass(frozen=True)
class ClipLoader:
    """Where the clips of a phase come from."""

    video_cache: VideoCache
    masks: MaskStore
    """Masks of the clips, and which parts of the videos have some."""
    config: ClipConfig
    objects: PseudoMaskConfig
    """Which clusters become objects, and which of them travel between clips."""
    batch: int
    """Clips of a step, over all processes."""
    randomness: Randomness
    world: World

    def clips(self, steps: range) -> Generator[Clip, None, None]:
        """Yield all clips of each step; threads decode this process's share of them a few steps ahead."""
        waiting: deque[list[Future[RawClip]]] = deque()
        coming = iter(steps)
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            try:
                for step in steps:
                    waiting.append(self._order(pool, step))
                    if len(waiting) > _AHEAD:
                        yield self._assemble(waiting.popleft(), next(coming))
                while waiting:
                    yield self._assemble(waiting.popleft(), next(coming))
            finally:
                pool.shutdown(cancel_futures=True)

    def describe(self, step: int) -> tuple[str, ...]:
        """Say of each clip of a step what it shows."""
        videos = self.video_cache.videos
        return tuple(
            f"{videos[plan.video].name}, frames {', '.join(map(str, plan.frames))}" for plan in self._plans(step)
        )

    def _plans(self, step: int) -> list[ClipPlan]:
        return plan_batch(self.masks.frame_ranges, self.config, seed=self.randomness.seed, step=step, batch=self.batch)

    def _order(self, pool: ThreadPoolExecutor, step: int) -> list[Future[RawClip]]:
        return [pool.submit(self._load, plan) for plan in self._plans(step)[self.world.rows(self.batch)]]

    def _load(self, plan: ClipPlan) -> RawClip:
        return load_clip(self.video_cache, plan, self.masks.for_clip(plan), self.config.photos)

    def _assemble(self, decoded: list[Future[RawClip]], step: int) -> Clip:
        first = self.world.rows(self.batch).start
        own = [self._cut(clip.result(), step, place) for place, clip in enumerate(decoded, start=first)]
        generator = self.randomness.generator(step, "paste")
        return finish_batch(self._whole(join_clips(own)), self.objects.objects, self.objects.paste, generator=generator)

    def _cut(self, raw: RawClip, step: int, place: int) -> Clip:
        generator = self.randomness.generator(step, "clip", place)
        return cut_clip(raw, self.config, self.objects.objects, generator=generator, device=self.world.device)

    def _whole(self, own: Clip) -> Clip:
        def gather(rows: Tensor) -> Tensor:
            return self.world.gather(rows, self.batch)

        masks = None if own.masks is None else gather(own.masks)
        return Clip(frames=gather(own.frames), index=gather(own.index), masks=masks)
