"""Parts of objects that were left behind on the ground, as memory tells."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfvos.ops.known_frames import KnownFrames
from selfvos.ops.left_behind import LEAST_FRAMES, LeaveConfig, Seen, left_behind
from selfvos.tracking.memory import Memory
from selfvos.tracking.propagator import PRESENT


def left(
    key: Float[Tensor, "h w c"], now: Float[Tensor, "o h w"], memory: Memory, config: LeaveConfig
) -> Bool[Tensor, "o h w"] | None:
    """Find the cells of objects that are ground.

    Args:
        key: What the frame is matched by.
        now: Probability of each object in its cells.
        memory: What is remembered.
        config: When a part is left behind.

    Returns:
        Those cells; None where there are none.
    """
    ages = {place: age for place, age in enumerate(memory.ages) if LEAST_FRAMES <= age <= config.frames}
    lasting = int(memory.permanent.sum())  # they come first
    if not (ages and lasting and (now > PRESENT).any()):
        return None
    objects, place = len(now), max(ages, key=ages.__getitem__)
    then, frame = _seen(memory, slice(place, place + 1), objects), Seen(key[None], now[None])
    known = KnownFrames(memory.known.cache, memory.known.ids[place : place + 1])
    gone = left_behind(frame, then, _seen(memory, slice(lasting), objects), config, known)
    return gone if gone.any() else None


def _seen(memory: Memory, places: slice, objects: int) -> Seen:
    keys = memory.keys
    shown = [memory.objects(place, objects) for place in range(len(keys))[places]]
    return Seen(keys[places], torch.stack(shown))
