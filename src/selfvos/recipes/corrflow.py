"""CorrFlow (BMVC 2019): colours passed along a chain of frames, and there and back."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_CORRFLOW = ObjectiveSpec(name="corrflow")


@RECIPES.register("corrflow_resnet18")
def corrflow_resnet18() -> TrainConfig:
    """Return CorrFlow's run with ResNet-18 at stride 4: 360 passes over YouTube-VOS, batches of 6.

    ``--set joint.epochs=100`` joins the mask embedding; add ``--set track.refine.rounds=3`` to track with it.

    Source:
        Lai and Xie 2019, arXiv:1905.00875, released code: 3 frames 4 apart, batch, Adam. Inferred: its 10 epochs of
        all triples of OxUvA's 14 hours are 1.3 million clips, here 360 of each YouTube-VOS video; the rate halves
        every 100 passes, where the released code waits for 400,000 clips and then 200,000 each. Departure: ResNet-18
        ends after layer3, whose 256 channels the paper's last stage has too. The joint phase is inferred.
    """
    optimizer = OptimizerConfig(
        lr=2e-4, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=100
    )
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=4, last_stage=3, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 2), frame_step=4, crop=CropConfig(max_short_side=1.0, flip_probability=0.0)),
        warmup=PhaseConfig(epochs=360, batch_clips=6, objectives=(_CORRFLOW,), optimizer=optimizer),
        joint=later_joint(_CORRFLOW),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )
