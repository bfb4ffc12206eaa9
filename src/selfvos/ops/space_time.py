"""The memory read of STM: every object has keys of its own."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.propagation import dense_affinity

KEY_CHANNELS = 128
"""Channels of a key; what follows them is the value."""
VALUE_CHANNELS = 512


def space_time_read(
    query: Float[Tensor, "b c h w"], memory: Float[Tensor, "b o c r"]
) -> tuple[Float[Tensor, "b o v h w"], Float[Tensor, "b o v h w"]]:
    """Look every cell of a frame up in each object's memory.

    Args:
        query: Key and value of each cell of the frame, joined.
        memory: Key and value of each of r memory cells for each object, joined.

    Returns:
        What memory says of each object, and the frame's own value, for each object the same.

    Source:
        STM (Oh et al. 2019): softmax of key products over all memory cells, divided by the root of the key's
        channels (128, public code).
    """
    objects, (h, w) = memory.shape[1], query.shape[-2:]
    key, value = query.float().split([KEY_CHANNELS, query.shape[1] - KEY_CHANNELS], dim=1)
    keys, values = memory.float().flatten(0, 1).split([KEY_CHANNELS, memory.shape[2] - KEY_CHANNELS], dim=1)
    sought = key.flatten(2).repeat_interleave(objects, dim=0)
    found = values @ dense_affinity(sought, keys, math.sqrt(KEY_CHANNELS))
    own = value[:, None].expand(-1, objects, -1, -1, -1)
    return found.unflatten(0, (-1, objects)).unflatten(-1, (h, w)), own


def as_memory(entry: Float[Tensor, "b o c h w"]) -> Float[Tensor, "b o c r"]:
    """Return a frame's keys and values as memory cells."""
    return torch.flatten(entry, 3)
