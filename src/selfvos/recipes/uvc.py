"""UVC (NeurIPS 2019): patches found in other frames, colours that follow them."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_UVC = ObjectiveSpec(name="uvc")


@RECIPES.register("uvc_resnet18")
def uvc_resnet18() -> TrainConfig:
    """Return UVC with ResNet-18: 30 epochs; ``joint.epochs=100`` adds the mask embedding.

    For the published two stages, run 10 epochs with ``warmup.objectives.uvc.settings.patches={"localise": false}``
    and go on from their weights with this recipe and ``warmup.epochs=20``.

    Source:
        Public code (Liusifei/UVC) for optimiser, batch, epochs (10 and 20), sizes and frames up to 50 of 30-fps
        video apart. Departures: all epochs localise; frames of 320 and patches of 128 pixels, half the published
        sizes (``clips.crop_px=640`` and ``clips.cache_short_side_px=640`` bring them back); a cosine schedule in
        place of a polynomial one; rotation of patches alone.
    """
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 4, 12), crop_px=320, crop=CropConfig(max_short_side=1.2)),
        warmup=PhaseConfig(
            epochs=30,
            batch_clips=40,
            objectives=(_UVC,),
            optimizer=OptimizerConfig(
                lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, schedule="cosine"
            ),
        ),
        joint=later_joint(_UVC),
        pseudo_masks=PseudoMaskConfig(feature="layer4"),
        track={"feature": {"stage": "layer4"}, "refine": {"rounds": 0}},
    )
