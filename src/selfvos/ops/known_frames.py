"""What the matcher is told of memory frames from one query frame to the next."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool
from torch import Tensor


class MatchCache:
    """What matching made of memory frames, for the next query frame."""

    def __init__(self, *, leading: bool = False) -> None:
        """Keep nothing yet.

        Args:
            leading: Cells have unit length, and their channels come in the order of their variance, as whitening leaves
                them. Then a kernel may guess by the first ones which cells are too unlike to be multiplied in full:
                where processors multiply bytes, fewer than one in a thousand of the matches is missed.
        """
        self.leading = leading
        self.rounded: Any = None
        """Of the kernel that multiplies bytes; None until it has been used."""


@dataclass(frozen=True)
class KnownFrames:
    """Tells which memory frames have been matched before."""

    cache: MatchCache
    ids: tuple[Hashable, ...]
    """One for each memory frame; whoever has the id of a frame that came before has its features."""
    telling: Bool[Tensor, "n h w"] | None = None
    """Memory cells that matter. Where none of them is among the best of a query cell, it may get others than the best:
    none that matter, and each of them better than all that do. None: all matter."""
    order: tuple[int, ...] | None = None
    """Places of the memory frames, those that are most like the query frame last. None: as they are."""
