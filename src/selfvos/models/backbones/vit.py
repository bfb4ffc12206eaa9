"""Vision transformers as DINO and DINOv2 trained them: one stage, as fine as a patch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES, Backbone, BackboneFactory
from selfvos.ops.colour import normalise_imagenet

_BLOCKS = 12
_HEAD_CHANNELS = 64
_EPSILON = 1e-6
_LAST_STAGE = 4
"""What the settings say where nobody chose a stage."""


class Attention(nn.Module):
    """Lets every token look at every other one, in heads of 64 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply self-attention."""
        heads = self.qkv(x).unflatten(-1, (3, -1, _HEAD_CHANNELS)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(dim=0)  # each b heads n 64
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the layers to each token."""
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """Weighs the channels of what a shortcut is added to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 1e-5))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Return the weighted input."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and layers, each behind a normalisation and around a shortcut; `scaled` as in DINOv2."""

    def __init__(self, channels: int, *, scaled: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=_EPSILON)
        self.attn = Attention(channels)
        self.ls1 = LayerScale(channels) if scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(channels, eps=_EPSILON)
        self.mlp = MLP(channels)
        self.ls2 = LayerScale(channels) if scaled else nn.Identity()

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the block."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """One linear map for every square patch."""

    def __init__(self, channels: int, patch_px: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, patch_px, patch_px)

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b c h w"]:
        """Embed the patches."""
        return self.proj(frames)


class VisionTransformer(Backbone):
    """A transformer whose parameter names are those of the public DINO and DINOv2 code, so that published weights load.

    Its one stage, ``block12``, is what label propagation with DINO works on: the patch tokens of the last block,
    normalised, without the class token.

    Source:
        Dosovitskiy et al. 2021; Caron et al. 2021 (arXiv:2104.14294) and its public code for names, sizes and the
        start; Oquab et al. 2023 (DINOv2) for scaled blocks. Departure: positions are interpolated to the size of the
        grid, where both codes ask for a scale that is a tenth of a cell larger.
    """

    def __init__(self, channels: int, patch_px: int, *, trained_px: int = 224, scaled: bool = False) -> None:
        super().__init__()
        self.channels, self.strides, self.last = {"block12": channels}, {"block12": patch_px}, "block12"
        self.patch_embed = PatchEmbedding(channels, patch_px)
        self.cls_token = nn.Parameter(torch.empty(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + (trained_px // patch_px) ** 2, channels))
        self.blocks = nn.Sequential(*(Block(channels, scaled=scaled) for _ in range(_BLOCKS)))
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        for weights in (
            self.cls_token,
            self.pos_embed,
            *(m.weight for m in self.modules() if isinstance(m, nn.Linear)),
        ):
            nn.init.trunc_normal_(weights, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Subtract ImageNet's mean colour and divide by its spread."""
        return normalise_imagenet(frames)

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
        """Return one stage, ``block12``."""
        patches = self.patch_embed(frames)
        h, w = patches.shape[-2:]
        tokens = patches.flatten(2).mT + self.patch_positions(h, w)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(frames), -1, -1)
        tokens = self.norm(self.blocks(torch.cat([first, tokens], dim=1)))
        return {"block12": tokens[:, 1:].mT.unflatten(2, (h, w))}

    def patch_positions(self, h: int, w: int) -> Float[Tensor, "1 n c"]:
        """Return the position embedding of a grid of h times w patches, row by row; bicubic where it was not learned.

        Args:
            h: Rows, >= 1.
            w: Columns, >= 1.
        """
        learned = self.pos_embed[:, 1:]
        side = round(learned.shape[1] ** 0.5)
        if (h, w) == (side, side):
            return learned
        grid = learned.mT.unflatten(2, (side, side))
        return F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False).flatten(2).mT


def require_patch(patch_px: int, *, stride: int, last_stage: int) -> None:
    """Refuse settings that a transformer with patches of `patch_px` cannot follow.

    Raises:
        UsageError: The stride is not the patch, or residual stages were to be left out.
    """
    if stride != patch_px or last_stage != _LAST_STAGE:
        raise UsageError(
            f"this transformer has stride {patch_px} and no residual stages: set stride to {patch_px}, "
            f"leave last_stage at {_LAST_STAGE}; asked for stride {stride}, stage {last_stage}"
        )


@dataclass(frozen=True)
class ViTFactory(BackboneFactory):
    """One width and patch size of the family."""

    channels: int
    patch_px: int
    trained_px: int = 224
    scaled: bool = False

    def __call__(self, *, stride: int, last_stage: int) -> VisionTransformer:
        """Make the network; the stride is the patch, and there are no residual stages to leave out."""
        require_patch(self.patch_px, stride=stride, last_stage=last_stage)
        return VisionTransformer(self.channels, self.patch_px, trained_px=self.trained_px, scaled=self.scaled)


for _letter, _size, _channels in (("s", "small", 384), ("b", "base", 768)):
    for _patch_px in (8, 16):
        _about = f"ViT-{_letter.upper()}/{_patch_px}, as DINO trained it: stride {_patch_px}, propagation only"
        BACKBONES.register(f"vit-{_letter}{_patch_px}", about=_about)(ViTFactory(_channels, _patch_px))
    _about = f"ViT-{_letter.upper()}/14, as DINOv2 trained it: stride 14, propagation only"
    BACKBONES.register(f"dinov2-{_size}", about=_about)(ViTFactory(_channels, 14, trained_px=518, scaled=True))
