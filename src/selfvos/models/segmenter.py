"""The whole network: E, V and D under one roof, composed from settings."""

from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.frame_encoder import FrameEncoder
from selfvos.models.mask_path import MASK_PATHS, MaskPath
from selfvos.models.weights_notes import WeightsNotes
from selfvos.types import FrameFeatures, MaskContext


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Which networks are put together."""

    backbone: str = "resnet18"
    """Name of the visual backbone."""
    stride: int = 8
    """Pixels per feature cell: 8, 4 for finer features at four times the cost, or 16; for a transformer, its patch."""
    last_stage: int = 4
    """Deepest residual stage kept: 4, or 3 for a quarter of the cost; a network without such stages wants 4."""
    key_channels: int = 128
    """Channels of the key that matching is trained on."""
    mask_path: str = "full"
    """Pair of V and D: ``full`` (the paper's), ``slim`` (for CPUs), ``wide`` (sees farther), ``stm`` or ``rgmp`` (to
    compare), or ``none``."""

    def __post_init__(self) -> None:
        if self.key_channels < 1:
            raise UsageError(f"key_channels must be at least 1, got {self.key_channels}")


class Segmenter(nn.Module):
    """E with, where the settings ask for it, V and D."""

    def __init__(self, config: SegmenterConfig) -> None:
        """Build the network with random weights.

        Raises:
            UnknownName: No such backbone or mask path.
            UsageError: The backbone does not come at that stride or depth, or lacks the stages that V and D look at.
        """
        super().__init__()
        self.config = config
        self.notes = WeightsNotes()
        """How the weights were made, and how to track with them."""
        self.name = ""
        """What whoever loaded the weights called them."""
        backbone = BACKBONES.get(config.backbone)(stride=config.stride, last_stage=config.last_stage)
        self.encoder = FrameEncoder(backbone, config.key_channels)
        self.mask_path: MaskPath | None = None
        if config.mask_path != "none":
            kind = MASK_PATHS.get(config.mask_path)
            if not {"layer1", "layer2"} <= backbone.channels.keys():
                raise UsageError(f"mask path {config.mask_path!r} needs a ResNet; with {config.backbone!r} use 'none'")
            if config.stride not in kind.strides:
                known = " or ".join(map(str, kind.strides))
                raise UsageError(f"mask path {config.mask_path!r} needs stride {known}, got {config.stride}")
            self.mask_path = kind(config.backbone, backbone, self.encoder.base_channels)  # pyright: ignore[reportCallIssue]

    @property
    def stride(self) -> int:
        """Pixels per feature cell."""
        return self.config.stride

    @property
    def value_channels(self) -> int:
        """Channels of a mask embedding."""
        return self._path().value_channels

    @property
    def corrects_masks(self) -> bool:
        """Whether D's output corrects the coarse masks, see `selfvos.ops.masks.correct`, or takes their place."""
        return self.mask_path is not None and self.mask_path.corrects

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(chain(self.parameters(), self.buffers()), torch.empty(0)).device

    def train(self, mode: bool = True) -> "Segmenter":  # noqa: FBT001, FBT002 - as torch has it
        """Switch to training; an encoder that is frozen goes on normalising as it does in use."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def encode_frame(self, frames: Float[Tensor, "b 3 y x"], *, keyed: bool = True) -> FrameFeatures:
        """Encode RGB frames in [0, 1].

        Args:
            frames: Sides are multiples of the stride.
            keyed: Whether the key is wanted; otherwise it has no channels, and takes no time.

        Raises:
            ValueError: A side is not a multiple of the stride.
        """
        if frames.shape[-2] % self.stride or frames.shape[-1] % self.stride:
            raise ValueError(f"frame sides must be multiples of {self.stride}, got {tuple(frames.shape[-2:])}")
        return self.encoder(frames, keyed=keyed)

    def prepare_masks(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Compute once what all objects and rounds of these frames share."""
        return self._path().prepare(self.encoder.backbone.prepare(frames), features)

    def encode_masks(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed each object's mask, in [0, 1], with its frame (V)."""
        return self._path().encode(context, masks)

    def decode_masks(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Decode each object's mask logits, or where `corrects_masks` says so what is added to them (D)."""
        return self._path().decode(context, readout, values)

    def start_mask_path(self) -> None:
        """Let V take over the weights of the trained backbone; called when the joint phase begins."""
        self._path().start_from(self.encoder.backbone)

    def _path(self) -> MaskPath:
        if self.mask_path is None:
            raise UsageError("these weights have no mask path (V and D): only label propagation (rounds 0) is possible")
        return self.mask_path
