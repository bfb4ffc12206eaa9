"""Clips, cropped and with their masks, ready when they are needed."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from selfvos.data.clips import ClipConfig, ClipPlan, RawClip, assemble, load_clip, plan_batch
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
        """Yield this process's clips of each step, decoded by threads a few steps ahead."""
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

    def _order(self, pool: ThreadPoolExecutor, step: int) -> list[Future[RawClip]]:
        plans = plan_batch(self.masks.frame_ranges, self.config, seed=self.randomness.seed, step=step, batch=self.batch)
        return [pool.submit(self._load, plan) for plan in self.world.share(plans)]

    def _load(self, plan: ClipPlan) -> RawClip:
        return load_clip(self.video_cache, plan, self.masks.for_clip(plan), self.config.photos)

    def _assemble(self, decoded: list[Future[RawClip]], step: int) -> Clip:
        return assemble(
            [clip.result() for clip in decoded],
            self.config,
            self.objects.objects,
            self.objects.paste,
            generator=self.randomness.generator(step, "clip"),
            device=self.world.device,
        )
