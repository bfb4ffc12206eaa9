"""DINOv2 (Oquab et al. 2023): ViT-S/14 and ViT-B/14 without register tokens.

Names [X] facebookresearch/dinov2: those of DINO and ``mask_token``, which training alone needs. ``blocks.0.ls1.gamma``,
patches of 14 and positions of pictures of 518 pixels [K].

Its paper names no settings of tracking; these are those of DINOv3's notebook, at the usual size [inferred].
"""

from selfvos.errors import WeightsMismatch
from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename, required
from selfvos.models.segmenter import SegmenterConfig

_NAMES = {384: "dinov2-small", 768: "dinov2-base"}


@FORMATS.register("dinov2", about="DINOv2: ViT-S or ViT-B with patches of 14")
def dinov2(state: State) -> Converted:
    """Convert DINOv2's network.

    Raises:
        WeightsMismatch: A network of another size.
    """
    channels = required(state, "patch_embed.proj.weight").shape[0]
    if channels not in _NAMES:
        raise WeightsMismatch(f"a transformer of {channels} channels; give ViT-S or ViT-B")
    return Converted(
        SegmenterConfig(backbone=_NAMES[channels], stride=14, mask_path="none"),
        rename(state, {"": BACKBONE}, ignored=("mask_token",)),
        "dinov3",
        {"frame": {"short_side_px": 480}},
    )
