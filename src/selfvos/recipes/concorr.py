"""ConCorr (AAAI 2021): UVC, and colours that all videos of a batch could give come from the own one."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_CONCORR = ObjectiveSpec(name="concorr")


@RECIPES.register("concorr_resnet18")
def concorr_resnet18() -> TrainConfig:
    """Return ConCorr with ResNet-18: 200 epochs; ``joint.epochs=100`` adds the mask embedding.

    For the published two stages, run 100 epochs with
    ``warmup.objectives.concorr.settings={"inter_weight": 0, "sparsity_weight": 0, "patches": {"localise": false}}``
    and go on from their weights with this recipe and ``warmup.epochs=100``.

    Source:
        Public code (594422814/ContrastCorr) for optimiser, schedule, batch, epochs and frames up to 50 of video
        apart. Departures: all epochs compare videos; frames of 320 and patches of 128 pixels, half the published
        sizes; rotation of patches alone.
    """
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 4, 12), crop_px=320, crop=CropConfig(max_short_side=1.2)),
        warmup=PhaseConfig(
            epochs=200,
            batch_clips=16,
            objectives=(_CONCORR,),
            optimizer=OptimizerConfig(
                lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=40
            ),
        ),
        joint=later_joint(_CONCORR),
        pseudo_masks=PseudoMaskConfig(feature="layer4"),
        track={"feature": {"stage": "layer4"}, "refine": {"rounds": 0}},
    )
