"""The labels of a clip's first frame, carried through the clip as tracking does: what V and D will have to mend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.alignment import AlignConfig, aligned_readout
from selfvos.ops.contact import drop_apart, without
from selfvos.ops.labels import fold, stretch, unfold
from selfvos.ops.matching import MatchConfig, Matches, match
from selfvos.ops.propagation import readout

_LOST_BELOW = 0.5

Flaw = Callable[[Float[Tensor, "o1 h w"]], Float[Tensor, "o1 h w"]]
"""Returns labels as they are remembered."""


@dataclass(frozen=True, kw_only=True)
class CarryConfig:
    """How labels are carried; the names are those of the tracker's settings."""

    match: MatchConfig = field(default_factory=MatchConfig)
    """How frames are compared."""
    scale: int = 1
    """Rows and columns of labels in a cell."""
    restore_contrast: bool = False
    """Objects get back the contrast that carrying wears off."""
    reach_cells: float | None = None
    """How far from where it was a part of an object may appear apart from it; None: anywhere."""
    align: AlignConfig | None = None
    """Labels of a matched cell shift to where the pictures agree; None: they do not."""

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise UsageError(f"scale must be at least 1, got {self.scale}")


@dataclass(frozen=True)
class Carried:
    """What carrying gave one frame."""

    labels: Float[Tensor, "o1 h2 w2"]
    """Probabilities, background first, as they are remembered."""
    matches: Matches
    """In the frames before it, the first of them first."""


@torch.no_grad()
def carry_labels(
    keys: Float[Tensor, "t h w c"],
    pictures: Sequence[UInt8[Tensor, "y x 3"]],
    first: Float[Tensor, "o1 h2 w2"],
    config: CarryConfig,
    flaw: Flaw = lambda labels: labels,
) -> list[Carried]:
    """Carry labels from the first frame of a clip to each later one, all frames between in memory.

    Args:
        keys: What frames are matched by.
        pictures: The frames, one pixel for each label.
        first: Probabilities in the first frame, background first.
        config: How labels are carried.
        flaw: Applied to the labels of each later frame before they are remembered.

    Returns:
        One result for each frame but the first.

    Source:
        The tracker's own label propagation; see `selfvos.tracking.label_propagation`, which can do more.
    """
    grid = (keys.shape[1], keys.shape[2])
    remembered, results = [first], []
    for t in range(1, len(keys)):
        permanent = torch.arange(t, device=keys.device) == 0
        matches = match(keys[t], keys[:t].contiguous(), permanent, config.match)
        folded = torch.cat([fold(labels[None], config.scale) for labels in remembered])
        if config.align is None:
            carried = readout(folded, matches)
        else:
            shown = torch.stack(list(pictures[:t]))
            carried = aligned_readout(pictures[t], shown, folded, matches, config.scale, config.align)
        labels = flaw(_settled(unfold(carried, grid, config.scale), remembered[-1], config))
        remembered.append(labels)
        results.append(Carried(labels, matches))
    return results


def _settled(
    labels: Float[Tensor, "o1 h w"], before: Float[Tensor, "o1 h w"], config: CarryConfig
) -> Float[Tensor, "o1 h w"]:
    if config.restore_contrast:
        labels = stretch(labels, _LOST_BELOW)
    if config.reach_cells is None:
        return labels
    now, then = (F.avg_pool2d(maps[1:], config.scale) for maps in (labels, before))
    apart = drop_apart(now, then, config.reach_cells)
    return without(labels, apart) if apart.any() else labels
