"""How what is remembered is propagated to a frame: by its best matches, or by a mixture of whole windows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.copies import repeat_first
from selfvos.ops.matching import MatchConfig, Matches, match
from selfvos.ops.propagation import readout
from selfvos.ops.window_attention import AttendConfig, attend
from selfvos.tracking.memory import Memory
from selfvos.tracking.settings import TrackConfig

Once = Callable[[Callable[[], Matches]], Matches]
"""Returns the matches that a function finds, or the same where they are known already."""


@dataclass(frozen=True)
class Propagation:
    """How one frame hangs together with what is remembered."""

    carry: Callable[[Tensor], Tensor]
    """Carries values of the cells that memory lends (r c) to the cells of the frame (m c)."""
    matches: Matches | None = None
    """The memory cells that it does so by; None where all of a window are mixed."""
    as_matched: Callable[[Tensor, int], Tensor] = lambda rows, _: rows
    """Puts what memory lends, so many rows a frame, in the order that matches count in."""


WatchMatches = Callable[[list[int], Matches | None], None]
"""Called with what memory lends, as places in the walk, and the matches in it."""


def unwatched_matches(walked: list[int], matches: Matches | None) -> None:
    """Watch matches without doing anything."""


def propagation(
    key: Float[Tensor, "h w c"], memory: Memory, config: TrackConfig, once: Once | None = None
) -> Propagation:
    """Compare a frame with what is remembered; return how to carry values to it.

    Args:
        key: What the frame is matched by.
        memory: What is remembered.
        config: Says how to compare.
        once: Finds the matches; by default each time anew.
    """
    if isinstance(config.match, AttendConfig):
        return _mixture(key, memory, config.match, _copies(memory, config))
    grid = key.shape[0] * key.shape[1]
    copies = copies_in_front(memory, config)

    def find() -> Matches:
        return _found(key, memory, config)

    matches = find() if once is None else once(find)

    def as_matched(rows: Tensor, per_frame: int) -> Tensor:
        return _padded(rows, memory, copies, per_frame)

    return Propagation(lambda values: readout(as_matched(values, grid), matches), matches, as_matched)


def _found(key: Float[Tensor, "h w c"], memory: Memory, config: TrackConfig) -> Matches:
    assert isinstance(config.match, MatchConfig), "a mixture of windows has no matches"
    keys, permanent, copies = memory.keys, memory.permanent, _copies(memory, config)
    if copies and not _are_cheap(memory, config.match):
        keys = _padded(keys, memory, copies, 1)
        return match(key, keys, torch.cat([permanent.new_zeros(copies), permanent]), config.match)
    matches = match(key, keys, permanent, config.match, memory.known)
    return repeat_first(matches, copies, (key.shape[0], key.shape[1]), config.match) if copies else matches


def _mixture(key: Float[Tensor, "h w c"], memory: Memory, config: AttendConfig, copies: int) -> Propagation:
    ages, grid = memory.ages, key.shape[0] * key.shape[1]
    ages = [max(ages)] * copies + ages
    keys = _padded(memory.keys, memory, copies, 1)
    return Propagation(lambda values: attend(key, keys, _padded(values, memory, copies, grid), ages, config))


def copies_in_front(memory: Memory, config: TrackConfig) -> int:
    """Return how many copies of the oldest frame the cell numbers of matches count before those of all frames.

    None where copies need not be searched: their matches then have the numbers of the frame itself.
    """
    cheap = isinstance(config.match, MatchConfig) and _are_cheap(memory, config.match)
    return 0 if cheap else _copies(memory, config)


def _copies(memory: Memory, config: TrackConfig) -> int:
    """Return how many more of the oldest frame are matched, while there are few others."""
    return {"never": 0, "fill": memory.missing, "twice": min(memory.missing, 1)}[config.memory.pad_start]


def _are_cheap(memory: Memory, config: MatchConfig) -> bool:
    """Say whether copies need not be searched: what they change of the matches follows without them."""
    return memory.oldest == 0 and not (config.per_frame and config.radius_cells < math.inf)


def _padded(rows: Tensor, memory: Memory, copies: int, grid: int) -> Tensor:
    """Put copies of the oldest frame before all frames, each of which has so many rows."""
    if not copies:
        return rows
    frames = rows.unflatten(0, (-1, grid))
    oldest = frames[memory.oldest : memory.oldest + 1].expand(copies, *frames.shape[1:])
    return torch.cat([oldest, frames]).flatten(0, 1)
