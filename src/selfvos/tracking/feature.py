"""What of a frame's features is matched, in one video."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.matched import check_matched, matched
from selfvos.ops.whitening import Whitening, fit_whitening, pooled, statistics, whitening
from selfvos.tracking.encoding import EncodedFrame
from selfvos.tracking.settings import FeatureConfig, TrackConfig


@dataclass(frozen=True)
class Learned:
    """What the first frame of a video says of how its frames are compared."""

    whitening: Whitening | None = None
    frame: int = 0
    """Number of that frame."""


class MatchedFeature:
    """Cuts what is matched out of encoded frames; in a video that has begun, whitened as its first frame says."""

    def __init__(self, model: Segmenter, config: TrackConfig) -> None:
        """Choose what is matched.

        Raises:
            UsageError: The network has no such feature, or cells cannot be cut into such parts.
        """
        check_matched(config.feature.stage, model.encoder.backbone.channels)
        parts = config.feature.scale, config.labels.scale
        if model.stride % (parts[0] * parts[1]):
            raise UsageError(f"feature.scale times labels.scale must divide the stride {model.stride}, got {parts}")
        self.config: FeatureConfig = config.feature
        self.stride = model.stride // config.feature.scale
        """Pixels per cell that is matched."""
        self.learned = Learned()

    def begin(self, frame: EncodedFrame) -> None:
        """Learn from the first frame of a video how its frames are compared."""
        self.learned = Learned(frame=frame.number)
        if self.config.whiten is not None:
            self.learned = Learned(fit_whitening(self._cells(frame), self.config.whiten), frame.number)

    def survey(self, first: EncodedFrame, later: Sequence[EncodedFrame], share: float) -> None:
        """Learn from the first frame of a video and from later ones how its frames are compared.

        Args:
            first: The first frame.
            later: At least one; no more is kept of any of them.
            share: What the later ones count for; see `pooled`.
        """
        if self.config.whiten is None:
            return
        known = pooled(statistics(self._cells(first)), [statistics(self._cells(frame)) for frame in later], share)
        found, device = whitening(known, self.config.whiten), first.image.device
        self.learned = Learned(Whitening(found.mean.to(device), found.matrix.to(device)), first.number)

    def key(self, frame: EncodedFrame) -> Float[Tensor, "h w c"]:
        """Return what a frame is matched by."""
        cells, learned = self._cells(frame), self.learned.whitening
        return cells if learned is None else learned(cells)

    def _cells(self, frame: EncodedFrame) -> Float[Tensor, "h w c"]:
        config = self.config
        found = matched(
            frame.features,
            config.stage,
            unit_length=config.unit_length,
            scale=config.scale,
            beside=[frame.smaller(share) for share in config.smaller],
        )
        return found[0].permute(1, 2, 0).contiguous()
