"""Vision transformers as DINOv3 trained them: a patch's place is a rotation of what it asks and answers with."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.base import BACKBONES, Backbone, BackboneFactory
from selfvos.models.backbones.vit import MLP, LayerScale, PatchEmbedding, require_patch
from selfvos.ops.colour import normalise_imagenet
from selfvos.ops.cycles import cell_positions

_PATCH_PX = 16
_BLOCKS = 12
_HEAD_CHANNELS = 64
_REGISTERS = 4
_SLOWEST = 100.0
"""How much slower the last pair of channels turns than the first one, if there were one more."""
_EPSILON = 1e-5


def rotations(h: int, w: int, like: Tensor) -> Float[Tensor, "2 n 64"]:
    """Return cosine and sine of what each token's channels are turned by: class token, registers, then the patches.

    Args:
        h: Rows of patches.
        w: Columns of patches.
        like: Whose device is taken.

    Source:
        Siméoni et al. 2025, arXiv:2508.10104, axial rotary positions with coordinates from -1 to 1 on each axis; its
        public code for the order of channels and the base of 100. Its random change of coordinates while training is
        left out.
    """
    rows_columns = cell_positions(h, w, like=like).flip(-1)
    exponents = torch.arange(_HEAD_CHANNELS // 4, device=like.device) * 4 / _HEAD_CHANNELS
    angles = 2 * math.pi * rows_columns[..., None] * _SLOWEST**-exponents  # n 2 16
    # Tokens without a place are turned by nothing.
    angles = F.pad(angles.flatten(1).repeat(1, 2), (0, 0, 1 + _REGISTERS, 0))
    return torch.stack([angles.cos(), angles.sin()])


def turn(x: Float[Tensor, "b heads n 64"], rotation: Float[Tensor, "2 n 64"]) -> Float[Tensor, "b heads n 64"]:
    """Turn each token's channels, in pairs of one from the first half and one from the second."""
    first, second = x.chunk(2, dim=-1)
    return (x * rotation[0] + torch.cat([-second, first], dim=-1) * rotation[1]).to(x.dtype)


class RotaryAttention(nn.Module):
    """Lets every token look at every other one by content and by how far apart they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels)
        self.o_proj = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "b n c"], rotation: Float[Tensor, "2 n 64"]) -> Float[Tensor, "b n c"]:
        """Apply self-attention; `rotation` comes from `rotations`."""
        query, key, value = (
            project(x).unflatten(-1, (-1, _HEAD_CHANNELS)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(turn(query, rotation), turn(key, rotation), value)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class RotaryBlock(nn.Module):
    """Attention and layers, each behind a normalisation, weighed, and around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=_EPSILON)
        self.attn = RotaryAttention(channels)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=_EPSILON)
        self.mlp = MLP(channels)
        self.ls2 = LayerScale(channels)

    def forward(self, x: Float[Tensor, "b n c"], rotation: Float[Tensor, "2 n 64"]) -> Float[Tensor, "b n c"]:
        """Apply the block."""
        x = x + self.ls1(self.attn(self.norm1(x), rotation))
        return x + self.ls2(self.mlp(self.norm2(x)))


class RotaryVisionTransformer(Backbone):
    """DINOv3's transformer: its one stage, ``block12``, is the patch tokens of the last block, normalised.

    Source:
        Siméoni et al. 2025, arXiv:2508.10104, ViT-S and ViT-B: four register tokens, no bias on keys. It computes
        what ``DINOv3ViTModel`` of transformers does, which the tests compare it with where that is installed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.strides, self.last = {"block12": channels}, {"block12": _PATCH_PX}, "block12"
        self.patch_embed = PatchEmbedding(channels, _PATCH_PX)
        self.cls_token = nn.Parameter(torch.empty(1, 1, channels))
        self.register_tokens = nn.Parameter(torch.empty(1, _REGISTERS, channels))
        self.blocks = nn.ModuleList(RotaryBlock(channels) for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
        for weights in (self.cls_token, self.register_tokens, *(layer.weight for layer in linear)):
            nn.init.trunc_normal_(weights, std=0.02)
        for layer in linear:
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def prepare(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Subtract ImageNet's mean colour and divide by its spread."""
        return normalise_imagenet(frames)

    def forward(self, frames: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
        """Return one stage, ``block12``."""
        patches = self.patch_embed(frames)
        h, w = patches.shape[-2:]
        placeless = torch.cat([self.cls_token, self.register_tokens], dim=1).expand(len(frames), -1, -1)
        tokens, rotation = torch.cat([placeless, patches.flatten(2).mT], dim=1), rotations(h, w, like=patches)
        for block in self.blocks:
            tokens = block(tokens, rotation)
        return {"block12": self.norm(tokens)[:, 1 + _REGISTERS :].mT.unflatten(2, (h, w))}


@dataclass(frozen=True)
class DINOv3Factory(BackboneFactory):
    """One width of the family."""

    channels: int

    def __call__(self, *, stride: int, last_stage: int) -> RotaryVisionTransformer:
        """Make the network; the stride is the patch, and there are no residual stages to leave out."""
        require_patch(_PATCH_PX, stride=stride, last_stage=last_stage)
        return RotaryVisionTransformer(self.channels)


for _size, _channels in (("small", 384), ("base", 768)):
    _about = f"ViT-{_size[0].upper()}/16, as DINOv3 trained it: stride 16, propagation only"
    BACKBONES.register(f"dinov3-{_size}", about=_about)(DINOv3Factory(_channels))
