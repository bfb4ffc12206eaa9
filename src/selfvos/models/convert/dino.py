"""DINO (Caron et al. 2021): ViT-S and ViT-B with patches of 8 or 16 pixels, and ResNet-50.

Names [X] the public code: ``cls_token``, ``pos_embed``, ``patch_embed.proj``, ``blocks.0.norm1`` ... ``norm``, with
``backbone.`` before them and ``head.`` beside them in full checkpoints. ResNet-50 in torchvision's names [K]; which of
its stages the paper tracks with is not known here: layer3 [inferred].
"""

from selfvos.errors import WeightsMismatch
from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename, required
from selfvos.models.segmenter import SegmenterConfig

_LETTERS = {384: "s", 768: "b"}


@FORMATS.register("dino", about="DINO: ViT-S or ViT-B with patches of 8 or 16, or ResNet-50")
def dino(state: State) -> Converted:
    """Convert DINO's network, the teacher's where there are both.

    Raises:
        WeightsMismatch: A transformer of another size.
    """
    plain = rename(state, {"backbone.": ""}, ignored=("head.",))
    if "conv1.weight" in plain:
        config = SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="none")
        tensors = rename(plain, {"": BACKBONE}, ignored=("layer4.", "fc."))
        return Converted(config, tensors, "dino", {"feature": {"stage": "layer3"}})
    channels, _, patch_px, _ = required(plain, "patch_embed.proj.weight").shape
    if channels not in _LETTERS or patch_px not in (8, 16):
        raise WeightsMismatch(f"a transformer of {channels} channels and patches of {patch_px}; give ViT-S or ViT-B")
    name = f"vit-{_LETTERS[channels]}{patch_px}"
    config = SegmenterConfig(backbone=name, stride=patch_px, mask_path="none")
    return Converted(config, rename(plain, {"": BACKBONE}), "dino")
