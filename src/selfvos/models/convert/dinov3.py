"""DINOv3 (Siméoni et al. 2025): ViT-S/16 and ViT-B/16, in either of the two forms that they are published in.

Names [X] huggingface/transformers: ``embeddings.cls_token``, ``layer.0.attention.q_proj``, ``layer.0.mlp.up_proj``,
``layer.0.layer_scale1.lambda1`` ... of the model, and those of the original file as its conversion script reads them:
``storage_tokens``, ``blocks.0.attn.qkv`` with a ``bias_mask`` that takes the keys' bias away, ``rope_embed.periods``.
``mask_token`` is needed by training alone.
"""

import re

from torch import Tensor

from selfvos.errors import WeightsMismatch
from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State
from selfvos.models.segmenter import SegmenterConfig

_NAMES = {384: "dinov3-small", 768: "dinov3-base"}
_LEFT_OUT = re.compile(r"mask_token|rope_embed|bias_mask|attn\.k_proj\.bias")
_GATED = re.compile(r"mlp\.(gate_proj|w3)\.")
_RULES = (
    (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^embeddings\.", ""),
    (r"^storage_tokens", "register_tokens"),
    (r"^layer\.", "blocks."),
    (r"\.attention\.", ".attn."),
    (r"\.attn\.proj\.", ".attn.o_proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.up_proj\.", ".fc1."),
    (r"\.down_proj\.", ".fc2."),
)


@FORMATS.register("dinov3", about="DINOv3: ViT-S or ViT-B with patches of 16, from Hugging Face or the original file")
def dinov3(state: State) -> Converted:
    """Convert DINOv3's network.

    Raises:
        WeightsMismatch: A network of another size or with gated layers, or none of DINOv3.
    """
    tensors: State = {}
    for name, tensor in state.items():
        for part, share in _split(_renamed(name), tensor).items():
            if not _LEFT_OUT.search(part):
                tensors[BACKBONE + part] = share
    patches = tensors.get(f"{BACKBONE}patch_embed.proj.weight")
    if patches is None or f"{BACKBONE}register_tokens" not in tensors:
        raise WeightsMismatch("no patch embedding or no register tokens in it; is it of another format?")
    if len(patches) not in _NAMES or any(_GATED.search(name) for name in state):
        raise WeightsMismatch(f"a transformer of {len(patches)} channels or with gated layers; give ViT-S or ViT-B")
    return Converted(
        SegmenterConfig(backbone=_NAMES[len(patches)], stride=16, mask_path="none"),
        tensors,
        "dinov3",
    )


def _renamed(name: str) -> str:
    for old, new in _RULES:
        name = re.sub(old, new, name)
    return name


def _split(name: str, tensor: Tensor) -> State:
    """Take queries, keys and values apart where they are one tensor."""
    start, joined, kind = name.partition("qkv.")
    if not joined or kind == "bias_mask":
        return {name: tensor}
    return {f"{start}{letter}_proj.{kind}": part for letter, part in zip("qkv", tensor.chunk(3), strict=True)}
