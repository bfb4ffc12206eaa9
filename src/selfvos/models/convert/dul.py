"""DUL (Araslanov et al. 2021): ResNet-18 and the head that its objective works on.

Names [X] visinf/dense-ulearn-vos: ``fast_net.backbone.`` before torchvision's names, ``fast_net.emb_q.`` for the head,
nested in ``model``. Its head has the layers of this package's key head, so it becomes the key.
"""

from selfvos.models.convert.base import BACKBONE, FORMATS, Converted, State, rename, required
from selfvos.models.segmenter import SegmenterConfig

_HEAD = {"conv1.": "0.", "bn1.": "1.", "conv2.": "3."}


@FORMATS.register("dul", about="DUL: ResNet-18 to layer4, and its key")
def dul(state: State) -> Converted:
    """Convert DUL's network."""
    targets = {f"fast_net.emb_q.{old}": f"encoder.key_head.{new}" for old, new in _HEAD.items()}
    key_channels = required(state, "fast_net.emb_q.conv2.weight").shape[0]
    return Converted(
        SegmenterConfig(backbone="resnet18", last_stage=4, key_channels=key_channels, mask_path="none"),
        rename(state, {**targets, "fast_net.backbone.": BACKBONE}),
        "dul",
    )
