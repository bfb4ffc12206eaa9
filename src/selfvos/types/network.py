"""What learning and tracking say to a network: clips, features, terms of a loss."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class FrameFeatures:
    """What the visual encoder E says of a batch of frames."""

    key: Float[Tensor, "b c h w"]
    """Embedding that matching works on, unit length in every cell."""
    base: Float[Tensor, "b d h w"]
    """Deepest feature, not normalised: what the frame-mask encoder V sees of the frame."""
    stages: dict[str, Tensor]
    """Output of each residual stage (``layer1`` ...), for skips and for matching on another depth."""


@dataclass(frozen=True)
class MaskContext:
    """What V and D need of a frame and what does not change between objects and refinement rounds."""

    frame: Float[Tensor, "b p y2 x2"]
    """The frame as V sees it: pixels, or cells of a projection of them."""
    base: Float[Tensor, "b d h w"]
    skip8: Float[Tensor, "b e y8 x8"]
    """Skip at stride 8, or at the feature stride where that is finer."""
    skip4: Float[Tensor, "b f y4 x4"]
    """Skip at stride 4."""
    evidence: Float[Tensor, "b 2 h w"] | None = None
    """How well each cell was found in memory, see `selfvos.ops.evidence`; None where nothing was matched."""

    def with_evidence(self, evidence: Float[Tensor, "b 2 h w"]) -> "MaskContext":
        """Return the same of a frame that has been matched."""
        return replace(self, evidence=evidence)


@runtime_checkable
class SegmenterLike(Protocol):
    """What objectives and the tracker may ask of a network."""

    @property
    def corrects_masks(self) -> bool:
        """Whether D's output corrects the coarse masks; see `selfvos.ops.masks.correct`."""
        ...

    def encode_frame(self, frames: Float[Tensor, "b 3 y x"]) -> FrameFeatures:
        """Encode RGB frames in [0, 1]; sides are multiples of the stride."""
        ...

    def prepare_masks(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Compute once what all objects and rounds of these frames share."""
        ...

    def encode_masks(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed each object's mask in [0, 1] together with its frame (V)."""
        ...

    def decode_masks(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Turn what memory says of each object, and V's view of its coarse mask, into logits (D)."""
        ...


@dataclass(frozen=True)
class Clip:
    """A batch of short frame sequences to learn from."""

    frames: Float[Tensor, "b t 3 y x"]
    """RGB in [0, 1], not normalised."""
    index: Int64[Tensor, "b t"]
    """Frame numbers in the training list of each video."""
    masks: Int64[Tensor, "b t y x"] | None = None
    """Pseudo masks, 0 for background; None while there are none."""


@dataclass(frozen=True)
class LossTerms:
    """One objective's loss and the named parts that it is made of."""

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]
