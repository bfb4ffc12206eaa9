"""Decoded clips, ready before they are needed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from selfvos.data.clips import ClipConfig, FrameRange, RawClip, load_clip, plan_batch
from selfvos.data.video_cache import VideoCache
from selfvos.training.distributed import World
from selfvos.training.pseudo_masks import PseudoMasks
from selfvos.training.true_masks import TrueMasks

_AHEAD = 4
_THREADS = 8


@dataclass(frozen=True)
class ClipLoader:
    """Where the clips of a phase come from."""

    video_cache: VideoCache
    usable: Sequence[FrameRange]
    config: ClipConfig
    seed: int
    batch: int
    world: World
    masks: PseudoMasks | TrueMasks | None = None

    def batches(self, steps: range) -> Iterator[list[RawClip]]:
        """Yield this process's clips of each step, decoded by threads a few steps ahead."""
        waiting: deque[list[Future[RawClip]]] = deque()
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            try:
                for step in steps:
                    waiting.append(self._order(pool, step))
                    if len(waiting) > _AHEAD:
                        yield [clip.result() for clip in waiting.popleft()]
                while waiting:
                    yield [clip.result() for clip in waiting.popleft()]
            finally:
                pool.shutdown(cancel_futures=True)

    def _order(self, pool: ThreadPoolExecutor, step: int) -> list[Future[RawClip]]:
        plans = plan_batch(self.usable, self.config, seed=self.seed, step=step, batch=self.batch)
        masks = self.masks
        return [
            pool.submit(
                lambda plan: load_clip(self.video_cache, plan, masks.for_clip(plan) if masks else None),
                plan,
            )
            for plan in self.world.share(plans)
        ]
